import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite("The machine of a data channel")
struct ChannelMachineTests {
    private static let kinds: [ChannelFrame.Kind] = [.start, .bytes, .end, .ready, .alive, .raw, .broken]

    /// Something that happens at one end.
    private enum Event: CustomStringConvertible {
        case hear(ChannelFrame.Kind)
        case start(wantsAnswer: Bool)
        case end(isPassedOn: Bool)
        case reset, goRaw, part

        static let all: [Event] =
            kinds.map { .hear($0) } + [
                .start(wantsAnswer: false), .start(wantsAnswer: true), .end(isPassedOn: false), .end(isPassedOn: true),
                .reset, .goRaw, .part,
            ]

        var description: String {
            switch self {
            case .hear(let kind): "hear \(kind)"
            case .start(let wantsAnswer): wantsAnswer ? "start, wants answer" : "start"
            case .end(let isPassedOn): isPassedOn ? "end, all passed on" : "end"
            case .reset: "reset"
            case .goRaw: "go raw"
            case .part: "part"
            }
        }

        /// What follows, or what is said.
        func apply(to machine: inout ChannelMachine) -> [String] {
            switch self {
            case .hear(let kind): return ["\(machine.hear(kind))"]
            case .start(let wantsAnswer):
                machine.start(wantsAnswer: wantsAnswer)
                return []
            case .end(let isPassedOn): return ChannelMachineTests.names(machine.end(isPassedOn: isPassedOn))
            case .reset: return machine.reset().map(ChannelMachineTests.names) ?? []
            case .goRaw: return ChannelMachineTests.names(machine.goRaw())
            case .part: return machine.part().map(ChannelMachineTests.names) ?? []
            }
        }

        /// Whether the end may do so: nobody ends a direction twice, or starts a visitor beside another one.
        func isPossible(_ machine: ChannelMachine) -> Bool {
            switch self {
            case .hear: true
            case .start: machine.role == .announcer && machine.phase == .idle && machine.servesAgain
            case .end, .goRaw: [.visiting, .proving].contains(machine.phase) && machine.said == .running
            case .reset: machine.canRecover && [.visiting, .returning].contains(machine.phase)
            case .part: machine.role == .listener
            }
        }
    }

    private static func names(_ bytes: [UInt8]) -> [String] {
        stride(from: 0, to: bytes.count, by: ChannelFrame.headerByteCount).map {
            ChannelFrame.Kind(rawValue: bytes[$0]).map { "say \($0)" } ?? "?"
        }
    }

    private static func name(_ machine: ChannelMachine) -> String {
        machine.phase == .visiting || machine.phase == .proving
            ? "\(machine.role) \(machine.phase) \(machine.said)/\(machine.heard)" : "\(machine.role) \(machine.phase)"
    }

    /// Every state that events lead to, from an idle channel.
    private static func reachable(_ role: ChannelMachine.Role) -> [ChannelMachine] {
        var found = [ChannelMachine(role)]
        var next = 0
        while next < found.count {
            for event in Event.all where event.isPossible(found[next]) {
                var machine = found[next]
                _ = event.apply(to: &machine)
                if !found.contains(where: { name($0) == name(machine) }) { found.append(machine) }
            }
            next += 1
        }
        return found
    }

    @Test("has these transitions")
    func transitions() throws {
        var lines: [String] = []
        for role in ChannelMachine.Role.allCases {
            for from in Self.reachable(role) {
                for event in Event.all where event.isPossible(from) {
                    var machine = from
                    let actions = event.apply(to: &machine)
                    lines.append(
                        SnapshotTests.line(Self.name(from), "\(event)", Self.name(machine), actions, width: 34))
                }
            }
        }
        let title = "ChannelMachine; a visitor's directions as said/heard"
        try SnapshotTests.compare(SnapshotTests.table(title, lines), with: "ChannelMachine.txt")
    }

    @Test("breaks nothing that the other end says, in whatever order the two act", arguments: 0..<200 as Range<UInt64>)
    func bothEnds(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var machines = [ChannelMachine(.announcer), ChannelMachine(.listener)]
        // Frames on their way, from each end to the other one.
        var onTheWay: [[ChannelFrame.Kind]] = [[], []]
        var visitors = 0
        for _ in 0..<400 {
            let at = Int.random(in: 0...1, using: &random)
            let event = Event.all.randomElement(using: &random)!
            if case .hear = event {
                guard !onTheWay[1 - at].isEmpty else { continue }
                let kind = onTheWay[1 - at].removeFirst()
                // What was sent before a reset was heard of is passed over.
                if machines[at].said == .broken, kind == .bytes { continue }
                #expect(machines[at].hear(kind) != .breach, "seed \(seed): \(machines[at]) heard \(kind)")
                if kind == .start { visitors += 1 }
                continue
            }
            if case .goRaw = event { continue }
            if case .part = event, onTheWay[1 - at].contains(.bytes) { continue }
            guard event.isPossible(machines[at]) else { continue }
            if case .start = event { onTheWay[at].append(.start) }
            if case .start(true) = event {
                // The listener answers at once.
                guard onTheWay[1].isEmpty else { continue }
            }
            let wasProving = machines[at].phase == .proving
            for said in event.apply(to: &machines[at]) {
                onTheWay[at].append(Self.kinds.first { said == "say \($0)" }!)
            }
            if machines[at].phase == .proving, !wasProving { onTheWay[1].append(.alive) }
        }
        // Nothing else is under way: both come to an end, and the channel serves the next visitor.
        for _ in 0..<8 {
            for at in 0...1 {
                while !onTheWay[1 - at].isEmpty { _ = machines[at].hear(onTheWay[1 - at].removeFirst()) }
                if machines[at].phase == .visiting, machines[at].said == .running {
                    onTheWay[at] += Self.frames(machines[at].end(isPassedOn: true))
                }
                if let word = machines[at].part() { onTheWay[at] += Self.frames(word) }
            }
        }
        #expect(machines.allSatisfy { $0.phase == .idle && $0.servesAgain }, "seed \(seed): \(machines)")
        #expect(visitors > 0)
    }

    private static func frames(_ bytes: [UInt8]) -> [ChannelFrame.Kind] {
        names(bytes).map { said in kinds.first { said == "say \($0)" }! }
    }

    @Test(
        "hears the same of a visitor wherever the reads cut it", arguments: [ChannelMachine.Role.announcer, .listener])
    func dripFeed(role: ChannelMachine.Role) {
        let streams: [[UInt8]] = [
            ChannelFrame.framed([1, 2, 3]) + ChannelFrame.end, ChannelFrame.framed([1]) + ChannelFrame.broken,
            ChannelFrame.framed([1]) + ChannelFrame.raw, ChannelFrame.ready, ChannelFrame.end + ChannelFrame.end,
            ChannelFrame.framed([1]) + [9, 0, 0, 0],
        ]
        for stream in streams {
            let whole = Self.steps(stream, [], role)
            for cut in 1..<stream.count { #expect(Self.steps(stream, [cut], role) == whole) }
            #expect(Self.steps(stream, Array(1..<stream.count), role) == whole)
        }
    }

    /// What a machine says of the frames of a visitor that are cut there; bytes are counted.
    private static func steps(_ stream: [UInt8], _ cuts: [Int], _ role: ChannelMachine.Role) -> [String] {
        var machine = ChannelMachine(role, .visiting)
        var reader = ChannelFrameReader()
        var steps: [String] = []
        var bytes = 0
        let borders = [0] + cuts + [stream.count]
        for (from, to) in zip(borders, borders.dropFirst()) {
            Array(stream[from..<to]).withUnsafeBytes { chunk in
                var offset = 0
                while steps.last != "breach", steps.last != "raw" {
                    switch reader.next(in: chunk, from: &offset) {
                    case .nothing: return
                    case .bytes(let range):
                        bytes += range.count
                        if machine.hear(.bytes) == .breach { steps.append("breach") }
                    case .end: steps.append("\(machine.hear(.end))")
                    case .broken: steps.append("\(machine.hear(.broken))")
                    case .ready: steps.append("\(machine.hear(.ready))")
                    case .alive: steps.append("\(machine.hear(.alive))")
                    case .raw: steps.append("\(machine.hear(.raw))")
                    case .breach: steps.append("breach")
                    }
                }
            }
        }
        return ["\(bytes) bytes"] + steps
    }

    @Test("of an encrypted channel takes raw for a breach")
    func encrypted() {
        var machine = ChannelMachine(.announcer, .visiting, allowsRaw: false)
        #expect(machine.hear(.raw) == .breach)
        #expect(!machine.servesAgain)
    }

    @Test("lets no visitor follow one that went on without frames")
    func raw() {
        var machine = ChannelMachine(.listener, .visiting)
        #expect(machine.hear(.raw) == .raw)
        #expect(!machine.servesAgain && !machine.canRecover)
    }

    @Test("waits for a start at the listener, and for the listener's word at the announcer")
    func awaited() {
        #expect(ChannelMachine(.listener).awaited == .start)
        #expect(ChannelMachine(.announcer).awaited == nil)
        #expect(ChannelMachine(.announcer, .proving).awaited == .alive)
        #expect(ChannelMachine(.announcer, .returning).awaited == .ready)
        #expect(ChannelMachine(.listener, .visiting).awaited == nil)
    }
}
