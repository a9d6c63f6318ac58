internal import FoundationEssentials
internal import PeerCore
internal import PeerReactor
internal import PeerStorage

/// A relay to use, as `RelayChoice` takes it.
struct JoinRequest: Codable, Sendable {
    var relay: String
    var token: String?
    var acceptsOpen = false
    var isTemporary = false
}

struct ControlReply: Codable, Sendable {
    var status: ExitStatus
    /// For people: what happened, and what to do next.
    var text: String
    /// Results to be printed although others are missing: where only some ports of a mapping work.
    var results: [String]?
    /// The JSON document that `--json` prints.
    var document: String?
    /// What was done, and may not do what was meant; one line each.
    var warnings: [String]?
    /// What else there is to know, a line each, for standard error.
    var remarks: [String]?

    /// With what could not be taken back on the disk.
    func adding(_ error: StorageError?) -> ControlReply {
        guard let error else { return self }
        var reply = self
        reply.remarks = (remarks ?? []) + ["the mapping will be asked for again after a restart: \(error)"]
        return reply
    }
}

/// The node's end: a Unix socket in the home, for this user alone; a verb is one line of JSON, and so is its answer.
/// Belongs to the control loop.
final class ControlServer<Node: AnyObject> {
    private static var maximumLine: Int { 65_536 }
    private static var maximumClients: Int { 64 }

    private let loop: EventLoop
    /// A client that has not asked anything after this is closed: it holds the place of a command.
    private let patience: Instant.Span
    private let listener: Listener
    private var clients: [ObjectIdentifier: Client] = [:]
    private let verbs: VerbTable<Node>
    private weak var node: Node?

    private final class Client {
        let channel: ByteChannel
        var line: [UInt8] = []
        /// Until it has asked.
        var timer: LoopTimer?
        var hasAsked = false

        init(_ channel: ByteChannel) { self.channel = channel }
    }

    init(
        on loop: EventLoop, path: String, patience: Instant.Span = .seconds(5), verbs: VerbTable<Node>, of node: Node
    ) throws(SystemError) {
        self.loop = loop
        self.patience = patience
        self.verbs = verbs
        self.node = node
        listener = try Listener.unix(path: path)
    }

    func start() throws(SystemError) {
        try listener.accept(on: loop) { [weak self] stream, _ in self?.admit(stream) }
    }

    func stop() {
        listener.stopAccepting()
        for client in clients.values { client.channel.closeAfterFlush() }
        clients = [:]
    }

    private func admit(_ stream: consuming Stream) {
        let client = Client(ByteChannel(on: loop, stream))
        guard clients.count < Self.maximumClients else {
            let text = "\(clients.count) commands wait for the running node already; try again in some seconds"
            return finish(client, ControlReply(status: .failure, text: text, document: nil))
        }
        clients[ObjectIdentifier(client)] = client
        client.timer = loop.schedule(after: patience) { [weak self, weak client] in
            guard let self, let client else { return }
            finish(client, nil)
        }
        client.channel.start { [weak self, weak client] event in
            guard let self, let client else { return }
            switch event {
            case .received(let bytes): received(bytes, client)
            case .closed:
                client.timer?.cancel()
                clients[ObjectIdentifier(client)] = nil
            }
        }
    }

    private func received(_ bytes: [UInt8], _ client: Client) {
        // One question each; what comes behind it is passed over.
        guard !client.hasAsked else { return }
        client.line += bytes
        guard let end = client.line.firstIndex(of: UInt8(ascii: "\n")) else {
            if client.line.count > Self.maximumLine { finish(client, nil) }
            return
        }
        client.hasAsked = true
        client.timer?.cancel()
        guard let verb = verbs.verb(in: client.line[..<end]) else {
            return finish(
                client,
                ControlReply(
                    status: .usage, text: "the running node does not know this request: restart it with this version",
                    document: nil))
        }
        guard let node else { return finish(client, nil) }
        verb.perform(in: node) { [weak self, weak client] reply in
            guard let self, let client else { return }
            finish(client, reply)
        }
    }

    private func finish(_ client: Client, _ reply: ControlReply?) {
        client.timer?.cancel()
        clients[ObjectIdentifier(client)] = nil
        if let reply, let bytes = try? JSONEncoder().encode(reply) {
            client.channel.send(Array(bytes) + [UInt8(ascii: "\n")])
        }
        client.channel.closeAfterFlush()
    }
}

/// The command's end. Blocks its thread: a command has nothing else to do.
enum ControlClient {
    /// `nil` when no node listens there.
    static func ask(
        _ verb: some Verb<NodeController>, socket path: String, reminder: UnixExchange.Reminder? = nil
    ) throws(CommandError) -> ControlReply? {
        guard let line = try? VerbTable<NodeController>.line(of: verb) else {
            throw CommandError(.failure, "the request cannot be written")
        }
        let answer: [UInt8]
        do throws(SystemError) {
            guard
                let bytes = try UnixExchange.exchange(
                    path: path, sending: line, limit: .seconds(60), reminder: reminder)
            else { return nil }
            answer = bytes
        } catch {
            if error.isPermissionDenied {
                let owner = SystemFacts.owner(of: path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" })
                let whose = "\(path) belongs to \(owner ?? "another user")"
                throw CommandError(
                    .homeUnusable, "\(whose); run this as that user: sudo -u \(owner ?? "USER") p2prc ...")
            }
            throw CommandError(
                .failure,
                "the running node does not answer on \(path): \(error.text); look at its output, or restart it")
        }
        guard let reply = try? JSONDecoder().decode(ControlReply.self, from: Data(answer)) else {
            throw CommandError(.failure, "the running node closed \(path) without an answer; look at its output")
        }
        return reply
    }
}
