public import Logging

extension APIServer {
    /// What one P2PRC node may cost: a table in 10 s, and no more of them at once than the reactor lets through.
    public static var p2prcLimits: APILimits {
        var limits = APILimits()
        limits.connections = 64
        limits.body = 1 << 20
        limits.stranger = .seconds(10)
        return limits
    }

    /// The adapter for P2PRC nodes, on a socket of its own: what comes in there is plain HTTP from anybody.
    ///
    /// - Parameter path: of the socket, as in `listen`.
    public static func listenToP2PRC(
        at path: String, limits: APILimits = p2prcLimits, answers: P2PRCAnswers, log: Logger
    ) async throws(APIError) -> APIServer {
        try await serve(
            at: path, P2PRCRoutes(answers: answers, limits: limits, log: log), limits, isMember: { _ in false }, log)
    }
}
