internal import FoundationEssentials
import Glibc
internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// The commands that ask a running node, or read what one left behind. Each prints its result and returns a status.
public struct Commands: Sendable {
    let home: String
    let json: Bool
    /// Listings have all their columns.
    let isWide: Bool

    public init(home: String, json: Bool, isWide: Bool = false) {
        self.home = home
        self.json = json
        self.isWide = isWide
    }

    public func viewServers() throws(CommandError) -> ExitStatus {
        try view(ViewServersVerb(), ServerRegistry.self) { TextTable.servers($0, isWide: isWide) }
    }

    public func viewMappings() throws(CommandError) -> ExitStatus {
        try view(ViewMappingsVerb(), MappingRegistry.self) { TextTable.mappings($0, isWide: isWide) }
    }

    public func map(_ requests: [MappingRequest]) throws(CommandError) -> ExitStatus {
        var worst = ExitStatus.success
        var rows: [MappingRegistry.Mapping] = []
        for request in requests {
            let reply = try ask(MapVerb(request: request))
            if json {
                if let text = reply.document, let document = try? MappingRegistry(json: Array(text.utf8)) {
                    rows += document.mappings
                }
                if reply.status != .success { showError(reply) }
                remark(reply)
            } else {
                show(reply)
            }
            if reply.status != .success, worst == .success { worst = reply.status }
        }
        if json, let bytes = try? MappingRegistry(mappings: rows).json() { Output.document(bytes) }
        return worst
    }

    public func unmap(_ name: String) throws(CommandError) -> ExitStatus { finish(try ask(UnmapVerb(mapping: name))) }

    public func release(_ name: String) throws(CommandError) -> ExitStatus {
        finish(try ask(ReleaseVerb(holder: name)))
    }

    /// `--connect-reverse-proxy` on a running node.
    public func connect(_ texts: [String], acceptsOpen: Bool, isTemporary: Bool) throws(CommandError) -> ExitStatus {
        for text in texts where text != RelayChoice.auto {
            _ = try RelayChoice(text, acceptsOpen: acceptsOpen, named: "--connect-reverse-proxy")
        }
        var last: ControlReply?
        var worst = ExitStatus.success
        for text in texts {
            let request = JoinRequest(relay: text, acceptsOpen: acceptsOpen, isTemporary: isTemporary)
            let reply = try ask(JoinVerb(request: request))
            if reply.status != .success || !json { show(reply) }
            last = reply
            if reply.status != .success, worst == .success { worst = reply.status }
        }
        if json, let document = last?.document { Output.document(Array(document.utf8)) }
        return worst
    }

    public func status() throws(CommandError) -> ExitStatus {
        let reply = try ask(StatusVerb())
        guard let document = reply.document else { throw CommandError(reply.status, reply.text) }
        if json {
            Output.document(Array(document.utf8))
        } else if let status = try? JSONDecoder().decode(StatusDocument.self, from: Data(document.utf8)) {
            Output.result(TextTable.status(status, isWide: isWide))
        } else {
            // A node of another version answered.
            Output.document(Array(document.utf8))
        }
        return reply.status
    }

    // MARK: -

    /// Root, by sudo(8) or not, has a home of its own.
    static var whereElse: String {
        SystemFacts.isRoot
            ? "start one: p2prc -s; or, if one runs as another user: sudo -u USER p2prc ..." : "start one: p2prc -s"
    }

    func ask(_ verb: some Verb<NodeController>) throws(CommandError) -> ControlReply {
        let paths = try inspect()
        guard let paths,
            let reply = try ControlClient.ask(verb, socket: paths.controlSocket, reminder: Self.reminder(of: verb))
        else {
            throw CommandError(.notRunning, "no node runs with the home \(home); \(Self.whereElse)")
        }
        return reply
    }

    /// For whoever sits there and waits.
    private static func reminder(of verb: some Verb) -> UnixExchange.Reminder? {
        guard let delay = verb.delay, isatty(STDERR_FILENO) == 1 else { return nil }
        return UnixExchange.Reminder(after: .seconds(2)) { Output.error("p2prc: \(delay)") }
    }

    /// `nil` when there is no such home yet.
    func inspect() throws(CommandError) -> HomePaths? {
        try HomeAccess.inspect(home)
    }

    private func show(_ reply: ControlReply) {
        for result in reply.results ?? [] { Output.result(result) }
        if reply.status == .success { Output.result(reply.text) } else { showError(reply) }
        remark(reply)
    }

    private func showError(_ reply: ControlReply) {
        for line in reply.text.split(separator: "\n") { Output.error("p2prc: \(line)") }
    }

    func remark(_ reply: ControlReply) {
        for remark in reply.remarks ?? [] { Output.error("p2prc: \(remark)") }
    }

    func finish(_ reply: ControlReply) -> ExitStatus {
        if json, reply.status == .success, let document = reply.document {
            Output.document(Array(document.utf8))
            remark(reply)
        } else {
            show(reply)
        }
        return reply.status
    }

    private func view<Document: RegistryDocument & Stoppable>(
        _ verb: some Verb<NodeController>, _: Document.Type, _ table: (Document) -> String
    ) throws(CommandError) -> ExitStatus {
        guard let paths = try inspect() else {
            throw CommandError(.notRunning, "there is no home \(home) yet; \(Self.whereElse)")
        }
        if let reply = try ControlClient.ask(verb, socket: paths.controlSocket) {
            guard let text = reply.document else { throw CommandError(reply.status, reply.text) }
            let status = try print(Array(text.utf8), table)
            remark(reply)
            return status
        }
        let document: Document?
        do throws(StorageError) {
            document = try RegistryFile<Document>.inspect(paths)
        } catch {
            throw CommandError(error.kind == .damaged ? .damaged : .homeUnusable, "\(error)")
        }
        guard let document else {
            throw CommandError(
                .notRunning, "no node runs with the home \(home), and none left a listing there; \(Self.whereElse)")
        }
        Output.error("p2prc: no node runs with the home \(home); this is what the last one wrote down")
        // One that was killed wrote nothing of its end.
        guard let bytes = try? document.stopped().json() else {
            throw CommandError(.damaged, "the listing in \(home) is damaged; start the node, it puts it aside")
        }
        return try print(bytes, table)
    }

    private func print<Document: RegistryDocument>(
        _ bytes: [UInt8], _ table: (Document) -> String
    ) throws(CommandError) -> ExitStatus {
        if json {
            Output.document(bytes)
        } else {
            do throws(RegistryFault) {
                Output.result(table(try Document(json: bytes)))
            } catch {
                throw CommandError(.failure, "the node's answer cannot be read: \(error)")
            }
        }
        return .success
    }
}
