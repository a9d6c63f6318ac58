internal import Logging
internal import PeerAPI
internal import PeerWire

/// The node's HTTP API while the node runs. The reactor brings the callers: what arrives at the server port as
/// `http/1.1` it forwards to the socket, with a preface that says who asks (docs/api.md).
struct APIService: Sendable {
    private let server: APIServer
    private let running: Task<Void, Never>

    /// Listens when it returns.
    ///
    /// - Parameters:
    ///   - path: of the socket.
    ///   - facts: what members are told of this node; asked for at each request, from any thread.
    ///   - isMember: whether a key that a caller has proven belongs to a member; asked likewise.
    ///   - mesh: what other nodes are answered; asked likewise.
    static func start(
        at path: String, facts: @escaping @Sendable () async -> NodeFacts,
        isMember: @escaping @Sendable (NodeKey) async -> Bool, mesh: @escaping MeshResponder, log: Logger
    ) async throws(CommandError) -> APIService {
        let server: APIServer
        do throws(APIError) {
            server = try await APIServer.listen(at: path, facts: facts, isMember: isMember, mesh: mesh, log: log)
        } catch {
            throw CommandError(.homeUnusable, error.text)
        }
        return APIService(server: server, running: Task { await server.run() })
    }

    /// Requests in progress are answered; the socket is gone when it returns.
    func stop() async {
        server.stop()
        await running.value
    }
}
