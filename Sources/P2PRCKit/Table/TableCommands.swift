internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// The commands about the IP table: `--ls`, `--as`, `--arn`, `--amd`, `--us`, `--specs`. What they change goes through
/// the running node, so that it counts at once, or into the home where none runs.
public struct TableCommands: Sendable {
    let home: String
    let json: Bool

    public init(home: String, json: Bool) {
        self.home = home
        self.json = json
    }

    public func list() async throws(CommandError) -> ExitStatus {
        let document = try await listing().document
        if json { try printJSON(document) } else { Output.result(TextTable.ipTable(document)) }
        return .success
    }

    /// - Parameter port: of `-p`, for an address without one.
    public func add(_ address: String, port: String?) async throws(CommandError) -> ExitStatus {
        let endpoint = try Self.endpoint(address, port: port, named: "--as \(address)")
        return try await finish(.addSeed(endpoint.description))
    }

    public func addRoot(ip: String, port: String) async throws(CommandError) -> ExitStatus {
        let endpoint = try Self.endpoint(ip, port: port, named: "--ip \(ip)")
        return try await finish(.addRoot(endpoint.description))
    }

    /// - Parameter note: empty to say nothing any more.
    public func setNote(_ note: String) async throws(CommandError) -> ExitStatus {
        guard NodeRecord.isNote(note) else {
            let (limit, count) = (NodeRecord.maximumNote, note.utf8.count)
            throw CommandError(
                .usage, "--amd: write one line of at most \(limit) bytes; this one has \(count), or control characters")
        }
        return try await finish(.setNote(note))
    }

    /// Asks others for news now, and lists what is known then.
    public func refresh() async throws(CommandError) -> ExitStatus {
        let reply = try Commands(home: home, json: json).ask(RefreshTableVerb())
        guard reply.status == .success else { throw CommandError(reply.status, reply.text) }
        Output.error("p2prc: \(reply.text)")
        return try await list()
    }

    // MARK: -

    func listing() async throws(CommandError) -> TableListing {
        guard let paths = try HomeAccess.inspect(home) else { throw noNode }
        do throws(StorageError) {
            return try await TableListing.read(paths, at: UnixTime(.now))
        } catch {
            throw error.kind == .missing ? CommandError(.notRunning, "\(error)") : CommandError(error)
        }
    }

    var noNode: CommandError {
        CommandError(.notRunning, "there is no home \(home) yet; start a node: p2prc -s")
    }

    func printJSON(_ document: some Encodable) throws(CommandError) {
        guard let bytes = try? OrderedJSON.encode(document) else {
            throw CommandError(.failure, "the listing cannot be written")
        }
        Output.document(bytes)
    }

    private func finish(_ command: TableCommand) async throws(CommandError) -> ExitStatus {
        let reply = try await answer(to: command)
        return Commands(home: home, json: json).finish(reply)
    }

    func answer(to command: TableCommand) async throws(CommandError) -> ControlReply {
        try await HomeAccess.answer(to: TableVerb(command: command), in: home) { held throws(CommandError) in
            do throws(StorageError) {
                let (table, warnings) = try IPTable.open(in: held, now: .now) { Output.error("p2prc: \($0)") }
                for warning in warnings { Output.error("p2prc: \(warning)") }
                let outcome = await TableEditor.carryOut(command, on: table, at: UnixTime(.now))
                try await table.close()
                return outcome.reply
            } catch { throw CommandError(error) }
        }
    }

    private static func endpoint(_ text: String, port: String?, named: String) throws(CommandError) -> Endpoint {
        guard let port else {
            guard let endpoint = Endpoint(text, defaultPort: NodeSettings.defaultServerPort) else {
                throw CommandError(.usage, "\(named): write HOST or HOST:PORT, such as --as 203.0.113.5:8088")
            }
            return endpoint
        }
        guard let number = UInt16(port), number > 0 else {
            throw CommandError(.usage, "-p \(port): write a number from 1 to 65535, such as -p 8088")
        }
        guard let endpoint = Endpoint(text, defaultPort: number), Endpoint(text) == nil else {
            throw CommandError(.usage, "\(named): with -p \(port) write a name or an address without a port")
        }
        return endpoint
    }
}
