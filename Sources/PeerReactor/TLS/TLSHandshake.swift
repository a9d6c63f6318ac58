internal import COpenSSL
public import PeerCore
public import PeerWire

/// Makes a TLS connection on a TCP stream, as either end. Belongs to one loop; slow ones stall nobody.
public final class TLSHandshake: EventSource {
    public enum Role: Sendable {
        case server
        case session
        /// A data channel of this group, with its session's key.
        case data(ChannelGroup, ChannelKey)
        case http
    }

    /// What is known once both ends have finished.
    public struct Facts: Sendable {
        public var purpose: ApplicationProtocol
        /// The key that the other end proved; `nil` for data channels, and for HTTP clients without a certificate.
        public var key: NodeKey?
        /// For data channels: the group of the session whose key both ends proved.
        public var group: ChannelGroup?
        /// Bound to this very connection; for sessions.
        public var secrets: SessionSecrets?
    }

    public enum Outcome: ~Copyable {
        /// The stream stays registered with the loop.
        case secured(Stream, Facts)
        case failed(TLSFailure)
    }

    private let loop: EventLoop
    private let ssl: OpaquePointer?
    private var tls: TLSConnection?
    private var stream: Stream?
    private let role: Role
    private var timer: LoopTimer?
    private var done: ((consuming Outcome) -> Void)?

    /// - Parameters:
    ///   - limit: for all of it.
    ///   - done: called once, never from within `init` or `start`'s caller's turn before it returns a reference.
    public init(
        on loop: EventLoop, _ stream: consuming Stream, _ context: TLSContext, as role: Role, limit: Instant.Span,
        done: @escaping (consuming Outcome) -> Void
    ) {
        self.loop = loop
        self.role = role
        self.done = done
        let fd = stream.fd
        switch role {
        case .server: ssl = copenssl_accept(context.server, fd)
        case .session: ssl = copenssl_connect(context.client, fd, copenssl_session)
        case .http: ssl = copenssl_connect(context.client, fd, copenssl_http)
        case .data(let group, let key):
            ssl = key.withUnsafeBytes { key in
                copenssl_connect_with_key(
                    context.client, fd, group.bytes, key.baseAddress?.assumingMemoryBound(to: UInt8.self))
            }
        }
        tls = ssl.map { TLSConnection($0) }
        self.stream = consume stream
        super.init()
        timer = loop.schedule(after: limit) { [self] in fail(TLSFailure(description: "the TLS handshake took too long"))
        }
    }

    /// - Parameter isRegistered: the stream is known to the loop under another source.
    public func start(isRegistered: Bool) {
        let fd = stream?.fd ?? -1
        do throws(SystemError) {
            if isRegistered { try loop.reregister(fd, for: self) } else { try loop.register(fd, for: self) }
            loop.again(self)
        } catch {
            fail(TLSFailure(description: error.text))
        }
    }

    public func cancel() { _ = end() }

    /// As server, while it goes on: whether the client has said what it wants, which is its whole first message.
    public var hasHello: Bool { done != nil && ssl.map { SSL_get_pending_cipher($0) != nil } ?? false }

    override func ready(_ readiness: Readiness, tag: UInt8) { advance() }
    override func runAgain() { advance() }

    private func advance() {
        guard let ssl, done != nil else { return fail(TLSFailure(description: "no memory for TLS")) }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        switch copenssl_outcome_of(ssl, result) {
        case copenssl_wants_read, copenssl_wants_write: return
        case copenssl_done: finish(ssl)
        default: fail(.current("no TLS connection"))
        }
    }

    private func finish(_ ssl: OpaquePointer) {
        guard let facts = facts(ssl) else {
            return fail(TLSFailure(description: "the TLS connection is not the one that was asked for"))
        }
        var records: RecordStream?
        if facts.purpose == .data {
            records = RecordStream(takingOver: ssl)
            guard records != nil else {
                return fail(TLSFailure(description: "the records of a data channel cannot be taken over"))
            }
        }
        guard let plain = stream.take(), let tls = tls.take() else { return }
        let done = end()
        if let records {
            done?(.secured(Stream(securing: plain, records), facts))
        } else {
            done?(.secured(Stream(securing: plain, tls), facts))
        }
    }

    /// `nil` when what was agreed is not what this end wants: no known protocol, no key where one must be, or, on a
    /// data channel, a full handshake instead of the session's key. Both ends look.
    private func facts(_ ssl: OpaquePointer) -> Facts? {
        guard let purpose = ApplicationProtocol(copenssl_agreed(ssl)) else { return nil }
        var facts = Facts(purpose: purpose)
        var key = [UInt8](repeating: 0, count: NodeKey.byteCount)
        if copenssl_peer_key(ssl, &key) { facts.key = NodeKey(bytes: key) }
        var identity = [UInt8](repeating: 0, count: ChannelGroup.byteCount)
        if copenssl_used_key(ssl, &identity) { facts.group = ChannelGroup(bytes: identity) }
        switch purpose {
        case .session:
            guard facts.key != nil, facts.group == nil, let secrets = secrets(ssl) else { return nil }
            facts.secrets = secrets
        case .data: guard facts.group != nil else { return nil }
        case .http: break
        }
        switch role {
        case .server: break
        case .session: guard purpose == .session else { return nil }
        case .data(let group, _): guard purpose == .data, facts.group == group else { return nil }
        case .http: guard purpose == .http, facts.key != nil else { return nil }
        }
        return facts
    }

    private func secrets(_ ssl: OpaquePointer) -> SessionSecrets? {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: SessionSecrets.byteCount) { room in
            defer { OPENSSL_cleanse(room.baseAddress, room.count) }
            return SessionSecrets(from: UnsafeRawBufferPointer(room)) { label in
                copenssl_export(ssl, label, room.baseAddress, room.count)
            }
        }
    }

    private func fail(_ failure: TLSFailure) {
        let done = end()
        // An alert that says why may still be on its way; a reset would overtake it.
        stream.take()?.closeOrderly()
        tls = nil
        done?(.failed(failure))
    }

    private func end() -> ((consuming Outcome) -> Void)? {
        loop.forget(self)
        timer?.cancel()
        let done = self.done
        self.done = nil
        return done
    }
}
