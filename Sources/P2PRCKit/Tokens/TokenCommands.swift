internal import PeerMesh
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// `token issue`, `list`, `revoke` and `rotate-key`: through the running node, so that they take effect at once, and
/// where none runs directly on the home, under its lock.
public struct TokenCommands: Sendable {
    private let home: String
    private let json: Bool

    public init(home: String, json: Bool) {
        self.home = home
        self.json = json
    }

    public func issue(_ request: TokenRequest) async throws(CommandError) -> ExitStatus {
        try await finish(.issue(request))
    }

    public func list() async throws(CommandError) -> ExitStatus { try await finish(.list) }

    public func revoke(_ name: String) async throws(CommandError) -> ExitStatus { try await finish(.revoke(name)) }

    /// - Parameter keep: how long the tokens of the key before still count, such as `7d`; `0s` ends them at once.
    public func rotateKey(keep: String) async throws(CommandError) -> ExitStatus {
        guard let seconds = Age.seconds(keep) else {
            throw CommandError(.usage, "--keep \(keep): write a time up to ten years with a unit, such as --keep 7d")
        }
        return try await finish(.rotateKey(keepSeconds: seconds))
    }

    // MARK: -

    private func finish(_ command: TokenCommand) async throws(CommandError) -> ExitStatus {
        let reply = try await answer(to: command)
        guard reply.status == .success else { throw CommandError(reply.status, reply.text) }
        if json, let document = reply.document {
            Output.document(Array(document.utf8))
        } else {
            Output.result(reply.text)
        }
        return .success
    }

    private func answer(to command: TokenCommand) async throws(CommandError) -> ControlReply {
        guard try HomeAccess.inspect(home) != nil else { throw noNode }
        return try await HomeAccess.answer(to: .token(command), in: home) { held throws(CommandError) in
            try await carryOut(command, in: held)
        }
    }

    /// A mistyped home must not become a new node.
    private var noNode: CommandError {
        CommandError(.notRunning, "no node ever ran with the home \(home); start one: p2prc -s --reverse-proxy")
    }

    private func carryOut(_ command: TokenCommand, in held: Home) async throws(CommandError) -> ControlReply {
        do throws(StorageError) {
            guard let seed = try KeyFile.load(at: held.paths.nodeKey) else { throw noNodeKey(held) }
            guard let identity = NodeIdentity(seed: seed) else {
                throw StorageError(.damaged, path: held.paths.nodeKey, detail: "it holds no node key")
            }
            let (table, warnings) = try IPTable.open(in: held, now: .now) { Output.error("p2prc: \($0)") }
            for warning in warnings { Output.error("p2prc: \(warning)") }
            let history = try KeyHistoryFile.load(held.paths, of: identity.key, at: WallTime.now.seconds)
            let desk = try TokenDesk(home: held, relay: identity.key, history: history, table: table)
            let reply = await desk.carryOut(command, at: .now).reply
            try await table.close()
            return reply
        } catch {
            if error.kind == .missing { throw noNode }
            throw CommandError(error)
        }
    }

    private func noNodeKey(_ held: Home) -> StorageError {
        StorageError(.missing, path: held.paths.nodeKey, detail: "there is no node key")
    }
}
