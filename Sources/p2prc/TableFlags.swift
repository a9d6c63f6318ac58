import ArgumentParser
import P2PRCKit

/// The flags about the IP table, in P2PRC's spelling. One of them at a time, and nothing else beside it.
struct TableFlags: ParsableArguments {
    @Flag(name: [.customLong("ls"), .customLong("ListServers")], help: "List the nodes that this one knows.")
    var list = false

    @Flag(
        name: [.customLong("us"), .customLong("UpdateServerList")],
        help: "Ask other nodes for news now, then list them.")
    var update = false

    @Option(
        name: [.customLong("as"), .customLong("AddServer")],
        help: ArgumentHelp("Add a node to begin with.", valueName: "host[:port]"))
    var addServer: String?

    @Flag(
        name: [.customLong("arn"), .customLong("AddRootNode")],
        help: "Begin with the node of --ip and -p, and with no other.")
    var addRoot = false

    @Option(
        name: [.customLong("ip"), .customLong("IPAddress")],
        help: ArgumentHelp("With --arn: its name or address.", valueName: "host"))
    var ip: String?

    @Option(name: .customShort("p"), help: ArgumentHelp("With --arn or --as: its server port.", valueName: "port"))
    var port: String?

    @Option(
        name: [.customLong("amd"), .customLong("AddMetaData")],
        help: ArgumentHelp("Say something of this node to all others; '' takes it back.", valueName: "text"))
    var note: String?

    @Option(
        name: [.customLong("specs"), .customLong("Specification")],
        help: ArgumentHelp("Show all that is known of one node.", valueName: "name | key | host[:port]"))
    var node: String?

    func request(home: String, json: Bool) throws -> Request {
        let commands = TableCommands(home: home, json: json)
        if list { return .table { try await commands.list() } }
        if update { return .table { try await commands.refresh() } }
        if let addServer { return .table { try await commands.add(addServer, port: port) } }
        if let note { return .table { try await commands.setNote(note) } }
        if let node { return .table { try await commands.show(node) } }
        guard let ip, let port else { throw ValidationError("--arn needs an address: --arn --ip HOST -p PORT") }
        return .table { try await commands.addRoot(ip: ip, port: port) }
    }
}
