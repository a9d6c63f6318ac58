/// What a command line without a subcommand asks for.
public enum CommandMode: String, Sendable, CaseIterable {
    case node, relay, map, join, listRelays, explainRelays, listMappings, listNodes, updateNodes, addNode, addRoot
    case setNote, showNode

    public static let starting: Set<CommandMode> = [.node, .relay]
    static let all = Set(allCases)
}

/// A flag, and where it means something: said once, so that whatever would be ignored is an error.
///
/// `Line` is a command line that was parsed.
public struct FlagUse<Line>: Sendable {
    /// With its hyphens, as people are told it.
    public let name: String
    /// What it asks for, and nothing else may be asked for beside it.
    var asks: CommandMode?
    /// What it asks for where nothing else is asked for.
    var alone: CommandMode?
    /// What it makes of what another flag asks for.
    var turns: [CommandMode: CommandMode] = [:]
    /// Where it means something.
    var modes: Set<CommandMode>
    /// It means something beside one of these flags.
    var beside: [String] = []
    /// Subcommands that have it too.
    var commands: [String] = []
    /// It means something for one `--mp`, not for several.
    var isForOne = false
    /// Every subcommand takes it.
    var isCommon = false
    /// How often it was given.
    let count: @Sendable (Line) -> Int

    public init(
        _ name: String, asks: CommandMode? = nil, alone: CommandMode? = nil,
        turns: [CommandMode: CommandMode] = [:], in modes: Set<CommandMode> = [], beside: [String] = [],
        count: @escaping @Sendable (Line) -> Int
    ) {
        self.name = name
        self.asks = asks
        self.alone = alone
        self.turns = turns
        self.modes = modes.union([asks, alone].compactMap { $0 }).union(turns.values)
        self.beside = beside
        self.count = count
    }

    /// Subcommands have it too, under the same name.
    public func shared(with commands: String...) -> Self {
        var use = self
        use.commands = commands
        return use
    }

    /// It means something for one `--mp`, not for several.
    public func forOne() -> Self {
        var use = self
        use.isForOne = true
        return use
    }

    /// Every subcommand takes it.
    public func common() -> Self {
        var use = self
        use.isCommon = true
        return use
    }
}

/// What is wrong with the flags of a command line.
public enum FlagFault: Error, Hashable, Sendable {
    /// In words.
    case useless(String)
    /// All was said of a node but that it should run.
    case startsNode(flag: String, isForRelay: Bool)
}

/// Holds a command line against the declarations of its flags.
public struct FlagCheck<Line>: Sendable {
    private let uses: [FlagUse<Line>]

    public init(_ uses: [FlagUse<Line>]) { self.uses = uses }

    /// What is asked for; `nil`: nothing. Fails for the first flag that would be ignored.
    public func mode(of line: Line) throws(FlagFault) -> CommandMode? {
        let given = uses.filter { $0.count(line) > 0 }
        let asking = given.filter { $0.asks != nil }
        guard asking.count <= 1 else {
            let names = asking.map(\.name).joined(separator: " and ")
            throw .useless("\(names) ask for two things at once; give one of them")
        }
        var (mode, name) = (asking.first?.asks, asking.first?.name ?? "")
        for use in given {
            guard let asked = mode, let turned = use.turns[asked] else { continue }
            mode = turned
            if !CommandMode.starting.contains(turned) { name = use.name }
        }
        let byItself = mode == nil ? given.first { $0.alone != nil } : nil
        mode = mode ?? byItself?.alone
        if let mode, byItself == nil, !CommandMode.starting.contains(mode) {
            for use in given where !use.modes.contains(mode) { throw useless(use.name, "with \(name)") }
        }
        if !(mode.map(CommandMode.starting.contains) ?? false) { try refuseStarting(given, mode, byItself) }
        try refuseLonely(given)
        if let mode { try refuseOther(given, mode, name) }
        try refuseSeveral(given, line)
        return mode
    }

    /// A subcommand would ignore every flag of the root but those that it has too.
    public func refuse(_ line: Line, beside command: String) throws(FlagFault) {
        for use in uses where use.count(line) > 0 && !use.isCommon && !use.commands.contains(command) {
            throw useless(use.name, "with \(command)")
        }
    }

    private func refuseStarting(
        _ given: [FlagUse<Line>], _ mode: CommandMode?, _ byItself: FlagUse<Line>?
    ) throws(FlagFault) {
        for use in given where use.beside.isEmpty && !use.isCommon && use.name != byItself?.name {
            let isElsewhere = mode.map { !use.modes.contains($0) } ?? true
            guard isElsewhere, !use.modes.isDisjoint(with: CommandMode.starting) else { continue }
            // It asks for something by itself too, but not beside the other.
            let name = use.alone == nil ? use.name : "\(use.name) with \(byItself?.name ?? "")"
            throw .startsNode(flag: name, isForRelay: !use.modes.contains(.node))
        }
    }

    private func refuseLonely(_ given: [FlagUse<Line>]) throws(FlagFault) {
        let names = Set(given.map(\.name))
        for use in given where !use.beside.isEmpty && names.isDisjoint(with: use.beside) {
            let places = use.beside + use.commands
            let last = places.count > 1 ? " or \(places[places.count - 1])" : ""
            let first = places.count > 1 ? places.dropLast().joined(separator: ", ") : places[0]
            throw useless(use.name, "without \(first)\(last)")
        }
    }

    private func refuseOther(
        _ given: [FlagUse<Line>], _ mode: CommandMode, _ name: String
    ) throws(FlagFault) {
        for use in given where !use.modes.contains(mode) {
            if mode == .node, use.modes.contains(.relay) {
                throw .useless("\(use.name) does nothing without --reverse-proxy; add it")
            }
            throw useless(use.name, "with \(name)")
        }
    }

    private func refuseSeveral(_ given: [FlagUse<Line>], _ line: Line) throws(FlagFault) {
        for use in given where use.isForOne {
            for other in given where use.beside.contains(other.name) && other.count(line) > 1 {
                throw useless(use.name, "with \(other.count(line)) times \(other.name)")
            }
        }
    }

    private func useless(_ flag: String, _ circumstance: String) -> FlagFault {
        .useless("\(flag) does nothing \(circumstance); leave it out")
    }
}
