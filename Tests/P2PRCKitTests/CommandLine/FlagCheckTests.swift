import P2PRCKit
import Testing

/// With flags that stand for those of the program.
@Suite struct FlagCheckTests {
    static let check = FlagCheck<[String]>([
        FlagUse("-s", asks: .node, in: [.relay]) { times("-s", $0) },
        FlagUse("--view-rps", asks: .listRelays, in: [.explainRelays]) { times("--view-rps", $0) },
        FlagUse("--mp", alone: .map, in: CommandMode.starting) { times("--mp", $0) },
        FlagUse("--connect", alone: .join, in: CommandMode.starting) { times("--connect", $0) },
        FlagUse("--reverse-proxy", turns: [.node: .relay], in: CommandMode.starting) { times("--reverse-proxy", $0) },
        FlagUse("--bind", in: CommandMode.starting) { times("--bind", $0) },
        FlagUse("--open", in: [.relay]) { times("--open", $0) },
        FlagUse("--temporary", in: [.node, .relay, .map, .join], beside: ["--mp", "--connect"]) {
            times("--temporary", $0)
        },
        FlagUse("--name", in: [.node, .relay, .map], beside: ["--mp"]) {
            times("--name", $0)
        }.shared(with: "token").forOne(),
        FlagUse("--explain", turns: [.listRelays: .explainRelays], beside: ["--view-rps"]) { times("--explain", $0) },
        FlagUse("--wide", in: [.listRelays], beside: ["--view-rps"]) { times("--wide", $0) }.shared(with: "status"),
        FlagUse("--json", in: [.listRelays, .explainRelays, .map, .join]) { times("--json", $0) }.common(),
    ])

    private static func times(_ flag: String, _ line: [String]) -> Int { line.count { $0 == flag } }

    @Test(
        arguments: [
            ([], nil), (["--json"], nil), (["-s"], .node), (["--reverse-proxy", "-s", "--open", "--bind"], .relay),
            (["-s", "--mp", "--mp", "--connect", "--temporary"], .node), (["--mp", "--name", "--json"], .map),
            (["--connect", "--temporary"], .join), (["--view-rps", "--wide"], .listRelays),
            (["--explain", "--view-rps", "--json"], .explainRelays),
        ] as [([String], CommandMode?)]) func `flags ask for one thing`(line: [String], mode: CommandMode?) throws
    {
        #expect(try Self.check.mode(of: line) == mode)
    }

    @Test(arguments: [
        (["-s", "--view-rps"], "-s and --view-rps ask for two things at once; give one of them"),
        (["-s", "--open"], "--open does nothing without --reverse-proxy; add it"),
        (["-s", "--json"], "--json does nothing with -s; leave it out"),
        (["-s", "--temporary"], "--temporary does nothing without --mp or --connect; leave it out"),
        (["--temporary"], "--temporary does nothing without --mp or --connect; leave it out"),
        (["--connect", "--name"], "--name does nothing without --mp or token; leave it out"),
        (["--mp", "--mp", "--name"], "--name does nothing with 2 times --mp; leave it out"),
        (["--view-rps", "--mp"], "--mp does nothing with --view-rps; leave it out"),
        (["--view-rps", "--bind"], "--bind does nothing with --view-rps; leave it out"),
        (["--view-rps", "--explain", "--wide"], "--wide does nothing with --explain; leave it out"),
        (["--wide"], "--wide does nothing without --view-rps or status; leave it out"),
    ]) func `what would be ignored is refused`(line: [String], words: String) {
        #expect(throws: FlagFault.useless(words)) { try Self.check.mode(of: line) }
    }

    @Test(arguments: [
        (["--bind"], "--bind", false), (["--open", "--mp"], "--open", true),
        (["--reverse-proxy"], "--reverse-proxy", false), (["--mp", "--connect"], "--connect with --mp", false),
    ]) func `what only a node can do is told from what nobody can`(line: [String], flag: String, isForRelay: Bool) {
        #expect(throws: FlagFault.startsNode(flag: flag, isForRelay: isForRelay)) { try Self.check.mode(of: line) }
    }

    @Test func `a command refuses what it has not`() throws {
        try Self.check.refuse(["--wide", "--json"], beside: "status")
        #expect(throws: FlagFault.useless("--wide does nothing with unmap; leave it out")) {
            try Self.check.refuse(["--json", "--wide"], beside: "unmap")
        }
    }
}
