/// Where everything lies in a home. Knowing the places gives no right to write there: that comes with `Home`.
public struct HomePaths: Hashable, Sendable {
    /// The home itself, absolute, without a slash at its end.
    public let folder: String

    /// - Parameter folder: absolute, or relative to `workingDirectory`.
    init(folder: String, workingDirectory: String) {
        let absolute = folder.hasPrefix("/") ? folder : "\(workingDirectory)/\(folder)"
        let parts = absolute.split(separator: "/").filter { $0 != "." }
        self.folder = "/" + parts.joined(separator: "/")
    }

    public var config: String { file("config.toml") }
    /// The node's private key: its identity.
    public var nodeKey: String { file("node.key") }
    /// How the node came to its key.
    public var keyHistory: String { file("node.key.history") }
    /// The secret that lets nodes join the mesh.
    public var meshKey: String { file("mesh.key") }
    /// What this node knows of the relays that it uses; secrets among it.
    public var memberships: String { file("memberships.json") }
    /// The private key that signs tokens, and the one before it.
    public var tokenKey: String { file("token.key") }
    public var previousTokenKey: String { file("token.key.previous") }
    /// The folder of the receipts.
    public var receipts: String { file("receipts") }
    public var ipTable: String { file("ip_table.sqlite") }
    public var reverseProxyServer: String { file("reverse_proxy_server.json") }
    public var reverseProxyMapping: String { file("reverse_proxy_mapping.json") }
    /// Where the running node listens to the command line.
    public var controlSocket: String { file("control.sock") }
    /// Where the running node's HTTP API listens to its own reactor.
    public var apiSocket: String { file("api.sock") }
    /// Where its adapter for P2PRC nodes does.
    public var p2prcSocket: String { file("p2prc.sock") }
    /// Held by the process that runs with this home.
    public var lock: String { file("lock") }

    private func file(_ name: String) -> String { folder == "/" ? "/\(name)" : "\(folder)/\(name)" }

    /// The most bytes of a Unix socket's path: `sun_path` has 108, the last one is the NUL (unix(7)).
    public static let longestSocketPath = 107

    func checkDepth() throws(HomeError) {
        for socket in [controlSocket, apiSocket, p2prcSocket] where socket.utf8.count > Self.longestSocketPath {
            throw .tooDeep(path: folder, socket: socket)
        }
    }
}
