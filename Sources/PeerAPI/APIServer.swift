public import Logging
internal import NIOCore
internal import NIOPosix
public import ServiceLifecycle

/// The HTTP API of a node, on a Unix socket that only this user may open. Its one client is the node's own reactor:
/// it takes the callers, looks at their certificates, and says in a preface (PROXY protocol) who each of them is.
///
/// 1. `listen` binds the socket; after it, connections are taken.
/// 2. Each begins with a preface, which makes its `Caller` (`PrefaceHandler`).
/// 3. Then come requests of HTTP/1.1, one after the other (`Routes`).
/// 4. `run` serves until `stop`, or until its service group shuts down; what is in progress is answered before.
///
/// One thread of its own: nothing here is worth a second one, and none of it touches the reactor's loops.
public final class APIServer: Service {
    private let group: MultiThreadedEventLoopGroup
    private let listener: NIOAsyncChannel<APIConnection, Never>
    private let socket: PrivateSocket
    private let connections: OpenConnections
    private let limits: APILimits
    private let log: Logger
    private let stopping = AsyncStream<Never>.makeStream()

    private init(
        _ group: MultiThreadedEventLoopGroup, _ listener: NIOAsyncChannel<APIConnection, Never>,
        _ socket: PrivateSocket, _ connections: OpenConnections, _ limits: APILimits, _ log: Logger
    ) {
        self.group = group
        self.listener = listener
        self.socket = socket
        self.connections = connections
        self.limits = limits
        self.log = log
    }

    /// Takes connections from here on; `run` must follow, or they wait.
    ///
    /// - Parameters:
    ///   - path: of the socket. One that a crash left behind is replaced, anything else there is an error.
    ///   - facts: what `GET /v1/node` tells, asked for each time.
    ///   - isMember: whether a caller with this key may ask for more than a sign of life.
    ///   - mesh: answers other nodes at `POST /v1/mesh`.
    public static func listen(
        at path: String, limits: APILimits = APILimits(), facts: @escaping @Sendable () async -> NodeFacts,
        isMember: @escaping MembershipCheck, mesh: MeshResponder? = nil, log: Logger
    ) async throws(APIError) -> APIServer {
        let routes = Routes(facts: facts, isMember: isMember, mesh: mesh, limits: limits, log: log)
        return try await serve(at: path, routes, limits, isMember: isMember, log)
    }

    static func serve(
        at path: String, _ routes: any RequestRoutes, _ limits: APILimits, isMember: @escaping MembershipCheck,
        _ log: Logger
    ) async throws(APIError) -> APIServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let connections = OpenConnections(on: loop, limit: limits.connections, log: log)
        let setup = APIConnection.Setup(
            routes: routes, limits: limits, connections: connections, isMember: isMember, log: log)
        do throws(APIError) {
            let (socket, listener) = try await PrivateSocket.bind(at: path) { path in
                try await ServerBootstrap(group: loop)
                    .serverChannelOption(.backlog, value: 256)
                    .childChannelOption(.allowRemoteHalfClosure, value: true)
                    .bind(unixDomainSocketPath: path) { setup.connection(on: $0) }
            }
            return APIServer(group, listener, socket, connections, limits, log)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Serves until `stop`. To be called once.
    public func run() async {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { tasks in
                tasks.addTask { await self.closeOnStop() }
                do {
                    try await listener.executeThenClose { inbound in
                        for try await connection in inbound { tasks.addTask { await connection.serve() } }
                    }
                } catch {
                    log.error("the API ended on \(socket.path): \(error); restart the node")
                }
                stop()
            }
        } onGracefulShutdown: {
            self.stop()
        }
        socket.remove()
        try? await group.shutdownGracefully()
    }

    /// No new connections; those without a request in progress are closed at once, the others when they are answered,
    /// at the latest after `limits.farewell`. Returns at once, `run` returns when it is done. May be called twice.
    public func stop() { stopping.continuation.finish() }

    private func closeOnStop() async {
        for await _ in stopping.stream {}
        listener.channel.close(promise: nil)
        connections.quiesce(within: limits.farewell)
    }
}
