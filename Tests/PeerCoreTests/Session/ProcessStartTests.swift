import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct ProcessStartTests {
    static func start(_ number: UInt64, _ instance: UInt8 = 1) -> ProcessStart {
        ProcessStart(number: number, instance: .number(instance))
    }

    @Test func `numbers are the clock's, and always above the home's last`() {
        #expect(ProcessStart.number(after: 0, clock: 1_000) == 1_000)
        #expect(ProcessStart.number(after: 999, clock: 1_000) == 1_000)
        #expect(ProcessStart.number(after: 1_000, clock: 1_000) == 1_001)
        // Set back by a day, before 1970, and at the last number that there is.
        #expect(ProcessStart.number(after: 86_401_000_000_000, clock: 1_000) == 86_401_000_000_001)
        #expect(ProcessStart.number(after: 0, clock: -5) == 1)
        #expect(ProcessStart.number(after: ProcessStart.maximum - 1, clock: 5) == ProcessStart.maximum)
        #expect(ProcessStart.number(after: ProcessStart.maximum, clock: 5) == 5)
        #expect(ProcessStart.number(after: .max, clock: 5) == 5)
    }

    @Test func `the later number goes on, of two alike always the same, and where one says nothing neither`() {
        #expect(Self.start(1).yields(to: Self.start(2)) && !Self.start(2).yields(to: Self.start(1)))
        #expect(Self.start(1, 1).yields(to: Self.start(1, 2)) && !Self.start(1, 2).yields(to: Self.start(1, 1)))
        #expect(!Self.start(1).yields(to: Self.start(1)))
        #expect(!Self.start(0).yields(to: Self.start(2)) && !Self.start(2).yields(to: Self.start(0)))
    }

    @Test func `records and introductions give two processes the same order`() {
        var random = SeededGenerator(seed: 4)
        for _ in 0..<100 {
            let one = ProcessStart(number: 5, instance: ProcessInstance(using: &random))
            let other = ProcessStart(number: 5, instance: ProcessInstance(using: &random))
            #expect((one < other) == (one.inRecords.instance < other.inRecords.instance))
        }
    }
}

/// Two processes with one key and two relays: whoever meets whom, where and when.
@Suite struct TwoCopiesTests {
    /// One of them as the relays see it.
    final class Process {
        let start: ProcessStart
        var isAlive = true
        /// The session at each relay, where there is one.
        var sessions: [Int: SessionID] = [:]
        init(_ start: ProcessStart) { self.start = start }
    }

    let relays = (0..<2).map {
        RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, count: 8)!), seed: UInt64($0))
    }
    static let key = NodeKey.number(7)

    func connect(_ process: Process, at relay: Int, as id: SessionID, among all: [Process]) {
        process.sessions[relay] = id
        let introduction = PeerMessage.Introduction(
            instance: process.start.instance, name: "home", dialled: "relay", software: "test",
            began: process.start.number)
        let event = RelayCore.Event.sessionProven(id, key: Self.key, introduction: introduction, grant: .mesh)
        for case .end(let ended, let reason, _) in relays[relay].give(event) {
            guard let loser = all.first(where: { $0.sessions[relay] == ended }) else { continue }
            loser.sessions[relay] = nil
            if reason == .superseded { stop(loser) }
        }
    }

    func stop(_ process: Process) {
        process.isAlive = false
        for (relay, id) in process.sessions { _ = relays[relay].give(.sessionEnded(id)) }
        process.sessions = [:]
    }

    @Test(arguments: UInt64(0)..<300) func `the later one goes on and the older one stops, in whatever order they come`(
        seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        // The copy was made while the older one ran; its clock is up to a day off.
        let older = Process(ProcessStart(number: 100_000, instance: ProcessInstance(using: &random)))
        let number = ProcessStart.number(after: 100_000, clock: Int64.random(in: 13_600...186_400, using: &random))
        let later = Process(ProcessStart(number: number, instance: ProcessInstance(using: &random)))
        let all = [older, later]
        for step in 0..<40 {
            let process = all[Int.random(in: 0...1, using: &random)]
            let relay = Int.random(in: 0...1, using: &random)
            guard process.isAlive else { continue }
            if let id = process.sessions[relay], Bool.random(using: &random) {
                process.sessions[relay] = nil
                _ = relays[relay].give(.sessionEnded(id))
            } else {
                connect(process, at: relay, as: .number(UInt64(step + 1)), among: all)
            }
            #expect(later.isAlive)
        }
        // When both are at one relay at last, it is decided.
        for (number, process) in all.enumerated() where process.isAlive {
            connect(process, at: 0, as: .number(UInt64(100 + number)), among: all)
        }
        #expect(!older.isAlive && later.isAlive)
    }

    @Test func `a process that began earlier gets in again when the later one is gone`() {
        let older = Process(ProcessStart(number: 1, instance: .number(1)))
        let later = Process(ProcessStart(number: 2, instance: .number(2)))
        connect(later, at: 0, as: .number(1), among: [older, later])
        stop(later)
        connect(older, at: 0, as: .number(2), among: [older, later])
        #expect(older.isAlive && relays[0].core.session(.number(2)) != nil)
    }

    @Test func `a process that does not say when it began takes over, as it always did, and is taken over from`() {
        let silent = Process(ProcessStart(number: 0, instance: .number(9)))
        let telling = Process(ProcessStart(number: 5, instance: .number(2)))
        connect(telling, at: 0, as: .number(1), among: [silent, telling])
        connect(silent, at: 0, as: .number(2), among: [silent, telling])
        #expect(!telling.isAlive && silent.isAlive)
        let next = Process(ProcessStart(number: 6, instance: .number(3)))
        connect(next, at: 0, as: .number(3), among: [silent, next])
        #expect(!silent.isAlive && next.isAlive)
    }
}
