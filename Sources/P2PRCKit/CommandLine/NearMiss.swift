/// What somebody may have meant by words that there are not. A flag that opens something is never proposed: who follows
/// advice without thinking must not be worse off than before.
public struct NearMiss: Sendable {
    private static let dangerous: Set<String> = ["--open", "--accept-open", "--plain"]

    /// Habits from other programs, and P2PRC's own ways to say it.
    private static let habits: [String: String] = [
        "start": "p2prc -s runs a node", "run": "p2prc -s runs a node", "serve": "p2prc -s runs a node",
        "node": "p2prc -s runs a node", "daemon": "p2prc -s runs a node",
        "server": "p2prc -s runs a node, p2prc -s --reverse-proxy a relay",
        "relay": "p2prc -s --reverse-proxy runs a relay", "reverse-proxy": "p2prc -s --reverse-proxy runs a relay",
        "stop": "a node runs until Ctrl-C, or kill -TERM PID", "quit": "a node runs until Ctrl-C, or kill -TERM PID",
        "restart": "stop the node (Ctrl-C, or kill -TERM PID) and run it again: its ports come back",
        "reload": "stop the node (Ctrl-C, or kill -TERM PID) and run it again: its ports come back",
        "ls": "p2prc --ls lists nodes, p2prc --view-rpm mappings",
        "list": "p2prc --ls lists nodes, p2prc --view-rpm mappings",
        "mappings": "p2prc --view-rpm lists mappings",
        "view": "p2prc --view-rpm lists mappings, p2prc --view-rps relays",
        "relays": "p2prc --view-rps lists relays", "servers": "p2prc --view-rps lists relays",
        "nodes": "p2prc --ls lists nodes", "peers": "p2prc --ls lists nodes",
        "map": "p2prc --mp PORT exposes a port", "expose": "p2prc --mp PORT exposes a port",
        "forward": "p2prc --mp PORT exposes a port", "add": "p2prc --mp PORT exposes a port",
        "tcp": "p2prc --mp PORT exposes a port for TCP, which needs no flag",
        "http": "p2prc --mp PORT exposes a web server, which needs no flag",
        "connect": "p2prc join LINK joins a relay", "remove": "p2prc unmap MAPPING takes a mapping back",
        "rm": "p2prc unmap MAPPING takes a mapping back", "delete": "p2prc unmap MAPPING takes a mapping back",
        "unexpose": "p2prc unmap MAPPING takes a mapping back",
        "log": "a node writes its log to its standard error", "logs": "a node writes its log to its standard error",
        "link": "p2prc mesh-key link prints the join link",
        "invite": "p2prc mesh-key link prints the join link",
        "udp": "p2prc --mp PORT --udp exposes a port for UDP", "V": "p2prc --version prints the version",
        "v": "p2prc --version prints the version", "Version": "p2prc --version prints the version",
    ]

    /// Long flags of the command that was meant, with their hyphens.
    private let flags: [String]
    private let subcommands: [String]
    private let isRoot: Bool

    /// - Parameter isRoot: the words stand right behind the program's name.
    public init(flags: [String], subcommands: [String], isRoot: Bool) {
        self.isRoot = isRoot
        self.flags = flags.filter { !Self.dangerous.contains($0) }
        self.subcommands = subcommands
    }

    /// One sentence without its stop, or `nil` where nothing is near.
    ///
    /// - Parameter word: as it was typed, hyphens included.
    public func advice(for word: String) -> String? {
        let bare = String(word.drop { $0 == "-" })
        // `--json=yes` and the like: the value is not what was mistyped.
        let name = String(bare.prefix { $0 != "=" })
        if isRoot || word.hasPrefix("-"), let habit = Self.habits[name] { return habit }
        if subcommands.contains(name) { return "did you mean p2prc \(name)?" }
        let near = { (all: [String]) in Spelling.nearest(to: word.hasPrefix("-") ? "--" + name : name, in: all) }
        if word.hasPrefix("-") {
            // In other letters: too many differ for a slip.
            if let flag = flags.first(where: { $0.lowercased() == "--" + name.lowercased() }) {
                return "did you mean \(flag)?"
            }
            if let flag = near(flags) { return "did you mean \(flag)?" }
            return Spelling.nearest(to: name, in: subcommands).map { "did you mean p2prc \($0)?" }
        }
        if let subcommand = near(subcommands) { return "did you mean \(subcommand)?" }
        return flags.contains("--" + name) ? "did you mean --\(name)?" : nil
    }
}
