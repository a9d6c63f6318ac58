internal import FoundationEssentials
internal import PeerCore
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

    static let noRelay =
        "this home was never a relay's, so nobody could use a token of it; start one: p2prc -s --reverse-proxy"

    /// - Parameter path: where the token goes (0600) instead of standard output. Nothing there is replaced, and a token
    ///   that cannot be written there is revoked.
    public func issue(_ request: TokenRequest, to path: String? = nil) async throws(CommandError) -> ExitStatus {
        guard let path else { return try await finish(.issue(request)) }
        guard !FileManager.default.fileExists(atPath: path) else { throw Self.taken(path) }
        let reply = try await answer(to: .issue(request))
        guard reply.status == .success, let document = reply.document,
            let issued = try? JSONDecoder().decode(TokenDocument.Issued.self, from: Data(document.utf8))
        else { throw CommandError(reply.status == .success ? .failure : reply.status, reply.text) }
        if let fault = Self.write(issued.Token, to: path) {
            let isRevoked = try await answer(to: .revoke(issued.Id)).status == .success
            let end = isRevoked ? "the token was revoked again" : "take the token back: p2prc token revoke \(issued.Id)"
            throw CommandError(fault.status, "\(fault.text); \(end)")
        }
        warn(reply)
        let written = TokenDocument.Written(File: path, Name: issued.Name, Id: issued.Id, Expires: issued.Expires)
        if json, let bytes = try? OrderedJSON.encode(written) {
            Output.document(bytes)
        } else {
            Output.result(
                "token \(issued.Name) is in \(path), for its owner's eyes only, and counts until \(issued.Expires); "
                    + "there: p2prc join THIS-HOST --token-file \(path), then p2prc -s --mp PORT")
        }
        return .success
    }

    private static func write(_ token: String, to path: String) -> CommandError? {
        do throws(StorageError) {
            return try SecretFile.create(Array((token + "\n").utf8), at: path) ? nil : taken(path)
        } catch { return CommandError(error) }
    }

    private static func taken(_ path: String) -> CommandError {
        CommandError(.usage, "--out \(path): there is such a file already; name another one")
    }

    private func warn(_ reply: ControlReply) {
        for warning in reply.warnings ?? [] { Output.error("p2prc: warning: \(warning)") }
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
        warn(reply)
        if json, let document = reply.document {
            Output.document(Array(document.utf8))
        } else {
            Output.result(reply.text)
        }
        return .success
    }

    private func answer(to command: TokenCommand) async throws(CommandError) -> ControlReply {
        guard try HomeAccess.inspect(home) != nil else { throw noNode }
        return try await HomeAccess.answer(to: TokenVerb(command: command), in: home) { held throws(CommandError) in
            try await carryOut(command, in: held)
        }
    }

    /// A mistyped home must not become a new node.
    private var noNode: CommandError {
        CommandError(.notRunning, "no node ever ran with the home \(home); start one: p2prc -s --reverse-proxy")
    }

    private func carryOut(_ command: TokenCommand, in held: Home) async throws(CommandError) -> ControlReply {
        // What it gives out unless flags say otherwise.
        let ports = command.isIssue ? try NodeSettings.load(home: home).ports : nil
        do throws(StorageError) {
            guard let seed = try KeyFile.load(at: held.paths.nodeKey) else { throw noNodeKey(held) }
            if command.isIssue, try MeshKeyFile.load(at: held.paths.meshKey) == nil {
                return ControlReply(status: .notFound, text: Self.noRelay, document: nil)
            }
            guard let identity = NodeIdentity(seed: seed) else {
                throw StorageError(.damaged, path: held.paths.nodeKey, detail: "it holds no node key")
            }
            let (table, warnings) = try IPTable.open(in: held, now: .now) { Output.error("p2prc: \($0)") }
            for warning in warnings { Output.error("p2prc: \(warning)") }
            let history = try KeyHistoryFile.load(held.paths, of: identity.key, at: WallTime.now.seconds)
            let service = try TokenService(home: held, relay: identity.key, history: history, table: table)
            var reply = await service.carryOut(command, at: .now).reply
            if case .issue(let request) = command { reply.warnings = ports.map(request.warnings) }
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
