internal import Crypto
public import PeerCore

/// One end of a circuit: the Double Ratchet with header encryption, as Signal's document describes it (revision 1,
/// section 4). No I/O; time and randomness are arguments.
///
/// Each record has a key of its own, and no key can be made from a later one. An end that hears a new key of the other
/// one makes a new one of its own with its next record, so that keys that were stolen are worth nothing soon. It does
/// so at most once in 10 s or 64 MiB, for interactive traffic would pay for it with each record. To the other end that
/// looks as if its key had been long on its way.
///
/// The chains of the two directions have nothing in common but the root, which only new keys touch.
public struct Ratchet: Sendable {
    /// Bytes of text in a record.
    public static let maximumText = 16_384

    /// Whether records may be lost, and overtake each other.
    public enum Order: Sendable {
        /// They may not: what is missing ends the circuit.
        case stream
        case datagrams
    }

    /// What both ends of a circuit have agreed.
    public struct Settings: Sendable {
        public var suite: RecordSuite
        public var order: Order
        var headers = HeaderProtection.sealed
        var limits = Limits()

        public init(suite: RecordSuite = .aes256GCM, order: Order = .stream) {
            self.suite = suite
            self.order = order
        }
    }

    struct Limits: Sendable {
        var renewalInterval = Instant.Span.seconds(10)
        /// Of text.
        var renewalBytes = 64 << 20
        /// Records before the one that came whose keys are made in one go.
        var steps: UInt32 = 65_536
        /// Keys that are kept for records that have not come.
        var skipped = 256
    }

    /// Bytes of a record beside its text.
    public static let overhead = HeaderProtection.sealed.byteCount + RecordSuite.tagByteCount

    private let settings: Settings
    /// Stands in front of each header where records are authenticated: both identities, and the circuit.
    private let context: [UInt8]

    private var root: SymmetricKey
    private var pair: AgreementPair
    private var sending: Chain?
    /// For the headers of the next chain of each direction.
    private var nextSendingHeader: SymmetricKey
    private var renewal: Renewal
    private var receiving: Receiving

    /// When this end last had a new key, and whether the other one has had one since.
    private struct Renewal {
        var isDue = false
        var last: Instant
        var bytes = 0
        /// Records of the chain before.
        var former: UInt32 = 0
    }

    /// Changed as a whole once a record has proven genuine, and not before.
    private struct Receiving {
        /// The other end's.
        var key: AgreementKey?
        var chain: Chain?
        var nextHeader: SymmetricKey
        var skipped = SkippedKeys()
    }

    /// The end that begins: it knows a prekey of the other one.
    ///
    /// - Parameter secret: what both came to.
    init(
        _ secret: SymmetricKey, initiatingTo prekey: AgreementKey, _ settings: Settings, context: [UInt8],
        at now: Instant, using random: inout some RandomNumberGenerator
    ) throws(RatchetError) {
        let (first, second) = Self.headerKeys(secret)
        let pair = AgreementPair(using: &random)
        let step = RootStep(secret, try pair.agreed(with: prekey))
        self.settings = settings
        self.context = context
        self.pair = pair
        root = step.root
        sending = Chain(key: step.chain, header: first)
        nextSendingHeader = step.nextHeader
        renewal = Renewal(last: now)
        receiving = Receiving(key: prekey, nextHeader: second)
    }

    /// The end whose prekey it is. It can seal once it has opened something.
    init(
        _ secret: SymmetricKey, respondingWith prekey: AgreementPair, _ settings: Settings, context: [UInt8],
        at now: Instant
    ) {
        let (first, second) = Self.headerKeys(secret)
        self.settings = settings
        self.context = context
        pair = prekey
        root = secret
        nextSendingHeader = second
        renewal = Renewal(last: now)
        receiving = Receiving(nextHeader: first)
    }

    /// For the headers of either end's first chain: HKDF-Expand of what both came to.
    private static func headerKeys(_ secret: SymmetricKey) -> (initiator: SymmetricKey, responder: SymmetricKey) {
        let made = HKDF<SHA256>.expand(
            pseudoRandomKey: secret, info: Array("p2prc headers".utf8), outputByteCount: 64)
        return made.withUnsafeBytes { (SymmetricKey(data: $0[0..<32]), SymmetricKey(data: $0[32..<64])) }
    }

    private var suite: RecordSuite { settings.suite }
    private var headers: HeaderProtection { settings.headers }

    /// This end's key of the moment.
    var ownKey: AgreementKey { pair.key }

    // MARK: Sealing

    /// Whether there is a key to seal with: always at the end that began.
    public var canSeal: Bool { sending != nil || renewal.isDue }

    /// - Returns: header, encrypted text, tag.
    /// - Throws: `tooLong`, `tooEarly`, `exhausted`.
    public mutating func seal(
        _ text: some Collection<UInt8>, at now: Instant, using random: inout some RandomNumberGenerator
    ) throws(RatchetError) -> [UInt8] {
        guard text.count <= Self.maximumText else { throw .tooLong }
        if renewal.isDue,
            sending == nil || now - renewal.last >= settings.limits.renewalInterval
                || renewal.bytes >= settings.limits.renewalBytes
        {
            try renew(at: now, using: &random)
        }
        guard var chain = sending else { throw .tooEarly }
        let header = RatchetHeader(key: pair.key, former: renewal.former, number: chain.number)
        let key = try chain.next()
        let protected = try headers.protected(header, chain.header, suite, using: &random)
        let sealed = try suite.seal(text, key, nonce: RecordSuite.onlyNonce, authenticating: context + protected)
        sending = chain
        renewal.bytes += text.count
        return protected + sealed
    }

    /// This end's half of a step.
    private mutating func renew(
        at now: Instant, using random: inout some RandomNumberGenerator
    ) throws(RatchetError) {
        guard let key = receiving.key else { throw .tooEarly }
        let fresh = AgreementPair(using: &random)
        let step = RootStep(root, try fresh.agreed(with: key))
        renewal = Renewal(last: now, former: sending?.number ?? 0)
        pair = fresh
        root = step.root
        sending = Chain(key: step.chain, header: nextSendingHeader)
        nextSendingHeader = step.nextHeader
    }

    // MARK: Opening

    /// - Throws: why it cannot be opened; then nothing has changed.
    public mutating func open(_ record: some Collection<UInt8>) throws(RatchetError) -> [UInt8] {
        let record = Array(record)
        let least = headers.byteCount + RecordSuite.tagByteCount
        guard (least...least + Self.maximumText).contains(record.count) else { throw .malformed }
        let protected = Array(record.prefix(headers.byteCount))
        let sealed = record.dropFirst(headers.byteCount)
        if let text = try openSkipped(protected, sealed) { return text }

        var changed = receiving
        var root = root
        var isNewKey = false
        let header: RatchetHeader
        if let chain = changed.chain, let found = headers.header(protected, of: chain.header, suite) {
            header = found
        } else if let found = headers.header(protected, beginning: changed.nextHeader, suite) {
            header = found
            isNewKey = true
            if changed.chain != nil { try skip(to: found.former, &changed) }
            let step = RootStep(root, try pair.agreed(with: found.key))
            changed.key = found.key
            changed.chain = Chain(key: step.chain, header: headers.mark(changed.nextHeader, found.key))
            changed.nextHeader = step.nextHeader
            root = step.root
        } else {
            throw .notGenuine
        }
        try skip(to: header.number, &changed)
        guard let key = try changed.chain?.next() else { throw .notGenuine }
        let text = try suite.open(
            sealed, key, nonce: RecordSuite.onlyNonce, authenticating: context + protected)
        receiving = changed
        self.root = root
        if isNewKey { renewal.isDue = true }
        return text
    }

    /// A record that others have overtaken; `nil` where it is none.
    private mutating func openSkipped(
        _ protected: [UInt8], _ sealed: ArraySlice<UInt8>
    ) throws(RatchetError) -> [UInt8]? {
        for chain in receiving.skipped.chains {
            guard let header = headers.header(protected, of: chain, suite),
                let key = receiving.skipped.key(header.number, of: chain)
            else { continue }
            let text = try suite.open(
                sealed, key, nonce: RecordSuite.onlyNonce, authenticating: context + protected)
            receiving.skipped.remove(header.number, of: chain)
            return text
        }
        return nil
    }

    /// Makes the keys up to a record, and keeps them for those that come later.
    private func skip(to number: UInt32, _ receiving: inout Receiving) throws(RatchetError) {
        guard let at = receiving.chain?.number, at != number else { return }
        guard settings.order == .datagrams else { throw .outOfOrder }
        // Already opened, or forgotten.
        guard number > at else { throw .notGenuine }
        guard number - at <= settings.limits.steps else { throw .tooManySkipped }
        while let chain = receiving.chain, chain.number < number {
            if let key = try receiving.chain?.next(), number - chain.number <= UInt32(settings.limits.skipped) {
                receiving.skipped.insert(
                    key, chain.number, of: chain.header, atMost: settings.limits.skipped)
            }
        }
    }
}
