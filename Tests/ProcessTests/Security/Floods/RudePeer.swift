import Foundation
import PeerCore
import PeerReactor
import PeerWire
import Synchronization
import TestSupport

/// A member of the mesh, with a session as good as any, that says what a test wants it to say, as fast as it goes.
/// Whatever the relay answers is read and let go of.
final class RudePeer: @unchecked Sendable {
    // Unchecked: what is no constant belongs to the loop's thread, but `told`.

    private struct Told {
        var isWelcome = false
        var failure: String?
        /// Frames that the relay sent, by type.
        var answers: [UInt8: Int] = [:]
        /// Ports that it was offered, by mapping.
        var offers: [MappingID: RelayMessage.Offer] = [:]
        /// Why it got none the last time that it asked, by mapping.
        var refusals: [MappingID: String] = [:]
        /// Bytes that were given to the system, or wait for it.
        var sent = 0
        /// Data channels that stood, and visitors that came over them.
        var channels = 0
        var visitors = 0
    }

    private static let meshKey = MeshKey(bytes: [UInt8](repeating: 0x5e, count: MeshKey.byteCount))!
    /// Bytes that wait here to be sent, as long as a flood lasts.
    private static let ahead = 262_144

    private let loop: EventLoop
    private let tls: TLSContext
    private let keys = ChannelKeys()
    private let told = Mutex(Told())
    private var connector: Connector?
    private var securing: TLSHandshake?
    private var handshake: PeerHandshake?
    private var channel: ByteChannel?
    private var decoder = FrameDecoder()
    private var terms: SessionTerms?
    private var relay: [SocketAddress] = []
    private var silent: [ObjectIdentifier: ReadyChannel] = [:]
    private var isStopped = false
    private var history = KeyHistory()

    /// - Parameter number: which key it has.
    convenience init(_ number: UInt8) throws {
        try self.init(seed: [UInt8](repeating: number, count: NodeIdentity.seedByteCount))
    }

    /// - Parameter seed: of its key.
    init(seed: [UInt8]) throws {
        tls = try TLSContext(seed: seed, keys: keys)
        loop = try EventLoop()
        try loop.start()
    }

    /// Ends all of its connections.
    func stop() {
        loop.execute { [self] in
            isStopped = true
            channel?.close()
            for channel in silent.values { channel.close() }
            silent = [:]
            loop.stop()
        }
    }

    var failure: String? { told.withLock { $0.failure } }
    var sent: Int { told.withLock { $0.sent } }
    var channels: Int { told.withLock { $0.channels } }
    var visitors: Int { told.withLock { $0.visitors } }
    func answers(_ message: RelayMessage) -> Int { told.withLock { $0.answers[message.frame.type] ?? 0 } }

    /// Returns when the relay at this port of this machine has let it in.
    ///
    /// - Parameter history: how it came to its key.
    func join(_ port: Int, history: KeyHistory = KeyHistory()) async throws {
        let address = SocketAddress(numeric: "127.0.0.1", port: UInt16(port))!
        loop.execute { [self] in
            self.history = history
            relay = [address]
            connector = Connector(on: loop, to: relay, kind: .betweenNodes, limit: .seconds(5)) {
                [self] stream, error in
                guard let stream = consume stream else { return fail("\(error)") }
                secure(stream)
            }
        }
        try await eventually("the rude peer is let in", within: .seconds(15)) {
            told.withLock { $0.isWelcome || $0.failure != nil }
        }
        if let failure { throw Failure("the rude peer: \(failure)") }
    }

    /// What comes first says why.
    private func fail(_ reason: String) { told.withLock { $0.failure = $0.failure ?? reason } }

    private func secure(_ stream: consuming PeerReactor.Stream) {
        securing = TLSHandshake(on: loop, stream, tls, as: .session, limit: .seconds(5)) { [self] outcome in
            switch consume outcome {
            case .failed(let failure): fail("\(failure)")
            case .secured(let stream, let facts): open(stream, facts)
            }
        }
        securing?.start(isRegistered: false)
    }

    private func open(_ stream: consuming PeerReactor.Stream, _ facts: TLSHandshake.Facts) {
        guard let key = facts.key, let secrets = facts.secrets else { return fail("no key") }
        let introduction = PeerMessage.Introduction(
            instance: ProcessInstance(bytes: [UInt8](repeating: 7, count: ProcessInstance.byteCount))!, name: "rude",
            dialled: "127.0.0.1", software: "rude", wantsPlain: false, began: 1)
        let handshake = PeerHandshake(
            with: key, secrets: secrets,
            credentials: PeerHandshake.Credentials(meshKeys: [Self.meshKey], history: history),
            introduction: introduction)
        self.handshake = handshake
        let channel = ByteChannel(on: loop, stream, isRegistered: true)
        self.channel = channel
        channel.start { [weak self] event in
            switch event {
            case .received(let bytes): self?.received(bytes)
            case .closed(let reason): self?.fail("closed: \(reason)")
            }
        }
        channel.send(handshake.opening)
    }

    private func received(_ bytes: [UInt8]) {
        decoder.append(bytes)
        while let frame = try? decoder.next() {
            guard !told.withLock({ $0.isWelcome }) else {
                let message = try? RelayMessage(frame)
                told.withLock {
                    $0.answers[frame.type, default: 0] += 1
                    switch message {
                    case .offer(let offer): $0.offers[offer.mapping] = offer
                    case .refusal(let mapping, let reason, let detail): $0.refusals[mapping] = "\(reason): \(detail)"
                    default: break
                    }
                }
                continue
            }
            switch handshake?.received(frame) {
            case .send(let bytes): channel?.send(bytes)
            case .established(let terms, _, _):
                self.terms = terms
                told.withLock { $0.isWelcome = true }
            case .failed(let failure): fail("\(failure)")
            case nil: break
            }
        }
    }

    /// Says these words over and over for so long, and never waits for an answer.
    func flood(_ words: [PeerMessage], for span: Duration) {
        let round = words.flatMap(\.bytes)
        let batch = (0...16_384 / round.count).flatMap { _ in round }
        let end = SystemClock.now + .milliseconds(UInt64(span / .milliseconds(1)))
        loop.execute { [self] in pump(batch, until: end) }
    }

    private func pump(_ batch: [UInt8], until end: Instant) {
        guard SystemClock.now < end, failure == nil, let channel else { return }
        for _ in 0..<64 where channel.queuedByteCount < Self.ahead {
            channel.send(batch)
            told.withLock { $0.sent += batch.count }
        }
        loop.schedule(after: .milliseconds(1)) { [weak self] in self?.pump(batch, until: end) }
    }

    // MARK: Visitors

    /// Has a port like anybody else, whose visitors nobody serves.
    @discardableResult
    func take(_ mapping: MappingID, ports count: Int = 1) async throws -> Int {
        let request = PeerMessage.Request(
            mapping: mapping, protocols: .tcp, wish: .any(count: count), target: "127.0.0.1:1")
        loop.execute { [self] in channel?.send(PeerMessage.request(request).bytes) }
        try await eventually("the rude peer is offered a port", within: .seconds(10)) {
            told.withLock { $0.offers[mapping] != nil || $0.refusals[mapping] != nil || $0.failure != nil }
        }
        let (answer, refusal) = told.withLock { ($0.offers[mapping], $0.refusals[mapping]) }
        guard let offer = answer else {
            throw Failure("the rude peer has no port for \(mapping): \(refusal ?? failure ?? "")")
        }
        loop.execute { [self] in channel?.send(PeerMessage.commit(mapping, attempt: offer.attempt).bytes) }
        return Int(offer.ports.first)
    }

    func take(_ mappings: some Sequence<MappingID>, ports count: Int) async throws {
        for mapping in mappings { try await take(mapping, ports: count) }
    }

    /// Keeps so many data channels open from now on, each for a visitor who never hears a word.
    func hold(channels count: Int) {
        loop.execute { [self] in
            for number in 0..<count { dial(number) }
        }
    }

    private func dial(_ number: Int) {
        guard !isStopped, failure == nil, let terms, case .encrypted(let key) = terms.protection else { return }
        let group = ChannelGroup(session: terms.session, number: UInt8(number % terms.groups))
        _ = Connector(on: loop, to: relay, kind: .betweenNodes, limit: .seconds(5)) { [self] stream, _ in
            guard let stream = consume stream else { return again(number) }
            let handshake = TLSHandshake(on: loop, stream, tls, as: .data(group, key), limit: .seconds(5)) {
                [self] outcome in
                switch consume outcome {
                case .failed: again(number)
                case .secured(let stream, _): keep(stream, number)
                }
            }
            handshake.start(isRegistered: false)
        }
    }

    private func again(_ number: Int, after span: Instant.Span = .milliseconds(250)) {
        loop.schedule(after: span) { [weak self] in self?.dial(number) }
    }

    private func keep(_ stream: consuming PeerReactor.Stream, _ number: Int) {
        let channel = try? ReadyChannel(
            on: loop, stream, isRegistered: true, expecting: .init(byteCount: VisitorStart.byteCount)
        ) {
            [weak self] channel, word in
            guard let self else { return }
            guard word != nil else {
                silent[ObjectIdentifier(channel)] = nil
                return again(number)
            }
            told.withLock { $0.visitors += 1 }
            // Longer than a relay waits for an answer.
            loop.schedule(after: .seconds(12)) { [weak self] in
                channel.close()
                self?.silent[ObjectIdentifier(channel)] = nil
                self?.dial(number)
            }
        }
        guard let channel else { return again(number) }
        told.withLock { $0.channels += 1 }
        silent[ObjectIdentifier(channel)] = channel
    }
}
