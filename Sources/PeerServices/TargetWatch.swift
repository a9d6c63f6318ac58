internal import PeerMesh
internal import PeerReactor
internal import PeerWire

/// Knows whether the target of a mapping answers, with as little noise for the service as can be: a service on
/// 127.0.0.1 is looked up in the system's table of listeners, another is connected to now and then. Belongs to the
/// control loop.
final class TargetWatch {
    /// Between two looks at the table of listeners, and between two connections to a target that is down.
    static let interval = Instant.Span.milliseconds(500)
    /// Between two connections to a target of the LAN that answers.
    private static let distantInterval = Instant.Span.seconds(10)
    private static let limit = Instant.Span.seconds(2)

    enum Verdict: Sendable {
        case answers([SocketAddress])
        case silent(String)
    }

    private let loop: EventLoop
    private let resolver: Resolver
    private let tables: ListenerTables
    private let endpoint: Endpoint
    private let count: Int
    private var connector: Connector?
    private var isUp: Bool?
    private var lastConnected = Instant.zero
    /// After a connection failed although a listener was in the table, only a connection convinces.
    private var distrustsTable = false
    private var isStopped = false
    private var timer: LoopTimer?
    private let onVerdict: (Verdict) -> Void
    /// A connection told what was known.
    var onSameVerdict: () -> Void = {}

    init(
        on loop: EventLoop, _ resolver: Resolver, _ tables: ListenerTables, _ endpoint: Endpoint, count: Int,
        onVerdict: @escaping (Verdict) -> Void
    ) {
        self.loop = loop
        self.resolver = resolver
        self.tables = tables
        self.endpoint = endpoint
        self.count = count
        self.onVerdict = onVerdict
    }

    func stop() {
        isStopped = true
        timer?.cancel()
        connector?.cancel()
    }

    /// Whether a connection to the target is being tried, so that its verdict is not the last word.
    private(set) var isLooking = false

    /// A visitor could not be connected.
    func targetFailed(_ reason: String) {
        guard isUp != false else { return }
        distrustsTable = true
        settle(.silent(reason))
    }

    /// Looks now, and from then on by itself.
    func look() {
        guard !isStopped else { return }
        timer?.cancel()
        timer = loop.schedule(after: Self.interval) { [weak self] in self?.look() }
        if endpoint.host == "127.0.0.1", !distrustsTable {
            let table = tables.current()
            if (0..<count).allSatisfy({ table.contains(endpoint.port &+ UInt16($0)) }) {
                if isUp != true, let address = SocketAddress(numeric: endpoint.host, port: endpoint.port) {
                    settle(.answers([address]))
                }
                return
            }
            // No listener in the table is no proof (the system may redirect the port): a connection is.
        }
        if isUp == true, endpoint.host != "127.0.0.1", loop.now - lastConnected < Self.distantInterval { return }
        guard !isLooking else { return }
        isLooking = true
        lastConnected = loop.now
        let bound = LoopBound(self, on: loop)
        resolver.resolve(endpoint, on: loop) { result in bound.value.resolved(result) }
    }

    private func resolved(_ result: Result<[SocketAddress], Resolver.Failure>) {
        guard !isStopped else { return }
        switch result {
        case .failure(let failure):
            isLooking = false
            settle(.silent(failure.description))
        case .success(let addresses):
            connector = Connector(on: loop, to: addresses, kind: .atTheEdge, limit: Self.limit) {
                [weak self] stream, error in
                guard let self else { return }
                connector = nil
                isLooking = false
                guard let stream = consume stream else { return settle(.silent("\(error.text)")) }
                distrustsTable = false
                let address = stream.remoteAddress
                let farewell = ByteChannel(on: loop, stream)
                farewell.closeAfterFlush()
                settle(.answers(address.map { [$0] } ?? addresses))
            }
        }
    }

    private func settle(_ verdict: Verdict) {
        let isNews: Bool
        switch verdict {
        case .answers:
            isNews = isUp != true
            isUp = true
        case .silent:
            isNews = isUp != false
            isUp = false
        }
        if isNews { onVerdict(verdict) } else { onSameVerdict() }
    }
}

/// The system's table of listeners, read at most every 100 ms however many mappings ask. Belongs to one loop.
final class ListenerTables {
    private static let lifetime = Instant.Span.milliseconds(100)
    private let loop: EventLoop
    private var table = ListeningPorts()
    private var readAt: Instant

    init(on loop: EventLoop) {
        self.loop = loop
        readAt = EventLoop.clock()
    }

    func current() -> ListeningPorts {
        let now = EventLoop.clock()
        if now - readAt > Self.lifetime {
            table = ListeningPorts()
            readAt = now
        }
        return table
    }
}
