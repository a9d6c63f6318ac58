import P2PRCKit

/// Every flag of the root, with where it means something. One that is not here would be ignored in silence, so a test
/// tries each that the program has.
enum RootFlags {
    private static let starting = CommandMode.starting
    private static let mapping = starting.union([.map])

    static let check = FlagCheck<P2PRC>([
        FlagUse("-s", asks: .node, in: starting) { times($0.server) },
        FlagUse("--view-rps", asks: .listRelays, in: [.explainRelays]) { times($0.viewServers) },
        FlagUse("--view-rpm", asks: .listMappings) { times($0.viewMappings) },
        FlagUse("--ls", asks: .listNodes) { times($0.table.list) },
        FlagUse("--us", asks: .updateNodes) { times($0.table.update) },
        FlagUse("--as", asks: .addNode) { times($0.table.addServer) },
        FlagUse("--arn", asks: .addRoot) { times($0.table.addRoot) },
        FlagUse("--amd", asks: .setNote) { times($0.table.note) },
        FlagUse("--specs", asks: .showNode) { times($0.table.node) },
        FlagUse("--mp", alone: .map, in: starting) { $0.mapping.mapPort.count },
        FlagUse("--connect-reverse-proxy", alone: .join, in: starting) { $0.connectReverseProxy.count },

        FlagUse("--reverse-proxy", turns: [.node: .relay], in: starting) { times($0.reverseProxy) },
        FlagUse("--no-server-port", in: starting) { times($0.noServerPort) },
        FlagUse("--bind", in: starting) { times($0.bind) },
        FlagUse("--server-port", in: starting) { times($0.serverPort) },
        FlagUse("--plain", in: starting) { times($0.plain) },
        FlagUse("--advertise", in: [.relay]) { times($0.advertise) },
        FlagUse("--ports", in: [.relay]) { $0.ports.count }.shared(with: "token issue"),
        FlagUse("--open", in: [.relay]) { times($0.isOpen) },
        FlagUse("--no-udp", in: [.relay]) { times($0.noUDP) },
        FlagUse("--allow-visitors", in: [.relay]) { $0.networks.allowVisitors.count },
        FlagUse("--deny-visitors", in: [.relay]) { $0.networks.denyVisitors.count },
        FlagUse("--allow-peers", in: [.relay]) { $0.networks.allowPeers.count },
        FlagUse("--deny-peers", in: [.relay]) { $0.networks.denyPeers.count },

        FlagUse("--accept-open", in: starting.union([.join]), beside: ["--connect-reverse-proxy"]) {
            times($0.acceptOpen)
        }.shared(with: "join"),
        FlagUse(
            "--temporary", in: mapping.union([.join]), beside: ["--mp", "--connect-reverse-proxy"]
        ) { times($0.mapping.temporary) },
        FlagUse("--any", in: mapping, beside: ["--mp"]) { times($0.mapping.anyPort) },
        FlagUse("--udp", in: mapping, beside: ["--mp"]) { times($0.mapping.udp) },
        FlagUse("--both", in: mapping, beside: ["--mp"]) { times($0.mapping.both) },
        FlagUse("--target", in: mapping, beside: ["--mp"]) { times($0.mapping.target) }.forOne(),
        // Two services of one name could not be told apart.
        FlagUse("--tell", in: mapping, beside: ["--mp"]) { times($0.mapping.tell) }.forOne(),
        FlagUse("--name", in: mapping, beside: ["--mp"]) { times($0.mapping.name) }.shared(with: "token issue")
            .forOne(),
        FlagUse("--on-demand", in: mapping, beside: ["--mp"]) { times($0.mapping.onDemand) },
        FlagUse("--proxy-protocol", in: mapping, beside: ["--mp"]) { times($0.mapping.proxyProtocol) },
        FlagUse("--allow", in: mapping, beside: ["--mp"]) { $0.networks.allow.count },
        FlagUse("--deny", in: mapping, beside: ["--mp"]) { $0.networks.deny.count },

        FlagUse("--explain", turns: [.listRelays: .explainRelays], beside: ["--view-rps"]) { times($0.explain) },
        FlagUse("--wide", in: [.listRelays, .listMappings], beside: ["--view-rps", "--view-rpm"]) { times($0.wide) }
            .shared(with: "status"),
        FlagUse("--ip", in: [.addRoot], beside: ["--arn"]) { times($0.table.ip) },
        FlagUse("-p", in: [.addNode, .addRoot], beside: ["--as", "--arn"]) { times($0.table.port) },
        FlagUse("--json", in: Set(CommandMode.allCases).subtracting(starting)) {
            times($0.common.json)
        }.common(),
        FlagUse("--home", in: Set(CommandMode.allCases)) { times($0.common.home) }.common(),
    ])

    private static func times(_ isGiven: Bool) -> Int { isGiven ? 1 : 0 }
    private static func times<Value>(_ value: Value?) -> Int { value == nil ? 0 : 1 }
}
