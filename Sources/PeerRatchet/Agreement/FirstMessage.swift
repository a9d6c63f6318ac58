public import PeerCore
public import PeerWire

/// What stands in front of the first record that goes through a circuit: who opens it, and what the other end needs in
/// order to come to the same secret. There is no round trip before it.
///
/// ```
/// version (1) | suite (1) | number of the prekey (4) | node key (32) | agreement key (32) | signature (64) | key (32)
/// ```
package struct FirstMessage: Hashable {
    static let version: UInt8 = 1
    package static let byteCount = 6 + 32 + 32 + 64 + 32

    var suite: RecordSuite
    var prekey: UInt32
    /// Of the end that opens the circuit.
    var identity: SignedIdentity
    /// Made for this circuit alone.
    var ephemeral: AgreementKey

    package var bytes: [UInt8] {
        [Self.version, suite.rawValue] + prekey.bigEndianBytes + identity.node.bytes + identity.key.bytes
            + identity.signature + ephemeral.bytes
    }

    init(suite: RecordSuite, prekey: UInt32, identity: SignedIdentity, ephemeral: AgreementKey) {
        self.suite = suite
        self.prekey = prekey
        self.identity = identity
        self.ephemeral = ephemeral
    }

    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes[0] == Self.version, let suite = RecordSuite(rawValue: bytes[1]),
            let prekey = UInt32(bigEndianBytes: bytes[2..<6]), let node = NodeKey(bytes: Array(bytes[6..<38])),
            let key = AgreementKey(bytes: bytes[38..<70]), let ephemeral = AgreementKey(bytes: bytes[134..<166])
        else { return nil }
        self.init(
            suite: suite, prekey: prekey,
            identity: SignedIdentity(node: node, key: key, signature: Array(bytes[70..<134])), ephemeral: ephemeral)
    }

    /// What every record of the circuit is bound to: who its two ends are, and which circuit it is.
    static func context(
        _ suite: RecordSuite, initiator: SignedIdentity, responder: SignedIdentity, circuit: [UInt8]
    ) -> [UInt8] {
        Array("p2prc circuit".utf8) + [version, suite.rawValue] + initiator.node.bytes + initiator.key.bytes
            + responder.node.bytes + responder.key.bytes + circuit
    }
}

extension CircuitKeys {
    /// Opens a circuit to the node that a bundle is of.
    ///
    /// - Parameters:
    ///   - circuit: what both ends call it; records of another one are none of this one.
    ///   - settings: the other end hears of the suite; the order it knows from what the circuit is for.
    /// - Returns: the ratchet, and what goes in front of its first record.
    /// - Throws: `unsigned`, `weakKey`.
    public func initiate(
        to bundle: PrekeyBundle, circuit: [UInt8], _ settings: Ratchet.Settings = Ratchet.Settings(), at now: Instant,
        using random: inout some RandomNumberGenerator
    ) throws(RatchetError) -> (Ratchet, preface: [UInt8]) {
        try bundle.check()
        let ephemeral = AgreementPair(using: &random)
        let secret = try KeyAgreement.secret(identity: pair, ephemeral: ephemeral, with: bundle)
        let ratchet = try Ratchet(
            secret, initiatingTo: bundle.prekey, settings,
            context: FirstMessage.context(
                settings.suite, initiator: identity, responder: bundle.identity, circuit: circuit),
            at: now, using: &random)
        let first = FirstMessage(
            suite: settings.suite, prekey: bundle.number, identity: identity, ephemeral: ephemeral.key)
        return (ratchet, first.bytes)
    }

    /// Bytes of what goes in front of the first record.
    public static var prefaceByteCount: Int { FirstMessage.byteCount }

    /// Who says that they open a circuit: a claim, until `respond` has opened the first record. `nil` for what is no
    /// preface.
    public static func claimant(of preface: [UInt8]) -> NodeKey? { FirstMessage(preface)?.identity.node }

    /// The other end of a circuit that somebody opens.
    ///
    /// - Parameter record: the first one, behind the preface.
    /// - Returns: the ratchet, what the record says, and the node that has proven to have said it.
    /// - Throws: why it is none; then nothing has changed.
    public mutating func respond(
        to preface: [UInt8], _ record: some Collection<UInt8>, circuit: [UInt8],
        _ settings: Ratchet.Settings = Ratchet.Settings(), at now: Instant
    ) throws(RatchetError) -> (Ratchet, text: [UInt8], from: NodeKey) {
        guard let first = FirstMessage(preface) else { throw .malformed }
        let prekey = try self.pair(for: first.prekey, ephemeral: first.ephemeral)
        guard first.identity.isGenuine else { throw .unsigned }
        let secret = try KeyAgreement.secret(
            identity: pair, prekey: prekey, with: first.identity.key, ephemeral: first.ephemeral)
        var settings = settings
        settings.suite = first.suite
        var ratchet = Ratchet(
            secret, respondingWith: prekey, settings,
            context: FirstMessage.context(
                first.suite, initiator: first.identity, responder: identity, circuit: circuit),
            at: now)
        let text = try ratchet.open(record)
        remember(first.ephemeral, for: first.prekey)
        return (ratchet, text, first.identity.node)
    }
}
