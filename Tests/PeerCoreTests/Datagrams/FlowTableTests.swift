import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite("The flows of a mapping")
struct FlowTableTests {
    private typealias Table = FlowTable

    /// A class around the value: `#expect` takes no mutating call.
    private final class Bench {
        private var table: Table

        init(_ limits: Table.Limits) { table = Table(limits) }

        var count: Int { table.count }
        var counts: Table.Counts { table.counts }
        var nextDeadline: Instant? { table.nextDeadline }
        func visitor(of id: Table.ID) -> Int? { table.visitor(of: id).map(Self.number) }
        func spoke(_ visitor: Int, at now: Instant) -> Table.Arrival { table.spoke(Self.visitor(visitor), at: now) }
        func answered(_ id: Table.ID, at now: Instant) -> Int? { table.answered(id, at: now).map(Self.number) }
        /// Each thousand is a host of its own, and below that each number.
        private static func visitor(_ number: Int) -> FlowVisitor {
            let host = Int32(number < 1_000 ? number : number / 1_000 << 16)
            let address = DatagramAddress(
                high: 0, low: 0xffff_0000_0000 | UInt64(UInt32(bitPattern: host)),
                port: UInt16(number.magnitude % 1_000))
            return FlowVisitor(address, at: 0)
        }

        private static func number(_ visitor: FlowVisitor) -> Int {
            let host = Int(Int32(truncatingIfNeeded: visitor.address.low))
            return host < 1_000 ? host : (host >> 16) * 1_000 + Int(visitor.address.port)
        }

        func end(_ id: Table.ID) { table.end(id) }
        func expire(at now: Instant) -> [Table.ID] { table.expire(at: now) }
    }

    private func second(_ number: UInt64) -> Instant { .zero + .seconds(number) }

    private func table(_ flows: Int) -> Bench {
        var limits = Table.Limits()
        limits.flows = flows
        return Bench(limits)
    }

    private func id(_ arrival: Table.Arrival) throws -> Table.ID {
        switch arrival {
        case .known(let id), .opened(let id, _): return id
        case .crowded, .refused: return try #require(nil as Table.ID?, "there was no room")
        }
    }

    @Test func `the first datagram of an address opens a flow, and the next one is of it`() throws {
        let table = table(8)
        let first = table.spoke(1, at: second(0))
        let flow = try id(first)
        #expect(first == .opened(flow, inPlaceOf: nil))
        #expect(table.spoke(1, at: second(1)) == .known(flow))
        #expect(try id(table.spoke(2, at: second(1))) != flow)
        #expect(table.answered(flow, at: second(2)) == 1)
        #expect(table.count == 2)
    }

    @Test func `a flow that nobody answers ends after 30 seconds, one that was answered after 180`() throws {
        let table = table(8)
        let silent = try id(table.spoke(1, at: second(0)))
        let answered = try id(table.spoke(2, at: second(0)))
        _ = table.answered(answered, at: second(1))
        #expect(table.nextDeadline == second(30))
        #expect(table.expire(at: second(29)) == [])
        #expect(table.expire(at: second(30)) == [silent])
        #expect(table.nextDeadline == second(181))
        _ = table.spoke(2, at: second(100))
        #expect(table.expire(at: second(279)) == [])
        #expect(table.expire(at: second(280)) == [answered])
        #expect(table.nextDeadline == nil)
    }

    @Test func `what comes for a flow that is over finds nobody, though its place is taken again`() throws {
        let table = table(1)
        let former = try id(table.spoke(1, at: second(0)))
        _ = table.expire(at: second(60))
        let next = try id(table.spoke(2, at: second(61)))
        #expect(former.place == next.place)
        #expect(table.answered(former, at: second(62)) == nil)
        table.end(former)
        #expect(table.visitor(of: next) == 2)
        table.end(next)
        #expect(table.visitor(of: next) == nil)
        #expect(table.count == 0)
    }

    @Test func `the one idle longest gives way: first of those that nobody answered`() throws {
        let table = table(3)
        let first = try id(table.spoke(1, at: second(0)))
        let second = try id(table.spoke(2, at: second(1)))
        let answered = try id(table.spoke(3, at: self.second(2)))
        _ = table.answered(answered, at: self.second(2))
        _ = table.spoke(1, at: self.second(3))
        guard case .opened(let fourth, let loser) = table.spoke(4, at: self.second(4)) else {
            Issue.record("no flow was opened")
            return
        }
        #expect(loser == second)
        #expect(fourth.place == second.place)
        #expect(table.visitor(of: first) == 1)
        #expect(table.counts.displaced == 1)
    }

    @Test func `a flow that goes to and fro keeps its place among a hundred thousand forged addresses`() throws {
        let table = table(1_000)
        let alive = try id(table.spoke(-1, at: second(0)))
        _ = table.answered(alive, at: second(0))
        _ = table.spoke(-1, at: second(0))
        var now = second(0)
        for forged in 0..<100_000 {
            now = now + .microseconds(100)
            // The service answers each of them, and nobody hears it.
            let flow = try id(table.spoke(forged, at: now))
            _ = table.answered(flow, at: now)
            if forged % 50_000 == 0 { #expect(table.spoke(-1, at: now) == .known(alive)) }
        }
        #expect(table.visitor(of: alive) == -1)
        #expect(table.count == 1_000)
        #expect(table.counts.displaced == 99_001)
    }

    @Test func `flows that are all alive give way to nobody, and idle ones do`() throws {
        let table = table(2)
        let flows = try [1, 2].map { try id(table.spoke($0, at: second(0))) }
        for (visitor, flow) in zip([1, 2], flows) {
            _ = table.answered(flow, at: second(0))
            _ = table.spoke(visitor, at: second(1))
        }
        #expect(table.spoke(3, at: second(5)) == .crowded)
        #expect(table.counts.crowded == 1)
        _ = table.spoke(2, at: second(8))
        _ = try id(table.spoke(3, at: second(11)))
        #expect(table.spoke(2, at: second(11)) == .known(flows[1]))
    }

    @Test(arguments: 0..<UInt64(Environment.isLong ? 100 : 10)) func `as a list in order of time would say it`(
        seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let table = table(20)
        var known: [(visitor: Int, id: Table.ID)] = []
        var now = second(0)
        for _ in 0..<2_000 {
            now = now + .milliseconds(UInt64.random(in: 0...2_000, using: &random))
            for ended in table.expire(at: now) { known.removeAll { $0.id == ended } }
            if Bool.random(using: &random), let flow = known.randomElement(using: &random) {
                #expect(table.answered(flow.id, at: now) == flow.visitor)
                continue
            }
            let visitor = Int.random(in: 0..<40, using: &random)
            switch table.spoke(visitor, at: now) {
            case .known(let id): #expect(known.contains { $0.visitor == visitor && $0.id == id })
            case .opened(let id, let loser):
                #expect(!known.contains { $0.visitor == visitor })
                known.removeAll { $0.id == loser }
                known.append((visitor, id))
            case .crowded: #expect(known.count == 20)
            case .refused: Issue.record("everybody is let in")
            }
            #expect(known.count == table.count && table.count <= 20)
            for flow in known { #expect(table.visitor(of: flow.id) == flow.visitor) }
        }
    }

    @Test func `one host keeps a quarter of the places at most, whatever it says to and fro`() throws {
        let table = table(8)
        var flows: [Table.ID] = []
        for visitor in 1_000..<1_008 {
            let flow = try id(table.spoke(visitor, at: second(0)))
            _ = table.answered(flow, at: second(0))
            _ = table.spoke(visitor, at: second(1))
            flows.append(flow)
        }
        // Six of them give way to others, and two are kept.
        for visitor in 1..<7 {
            let flow = try id(table.spoke(visitor, at: second(2)))
            _ = table.answered(flow, at: second(2))
            _ = table.spoke(visitor, at: second(2))
        }
        #expect(flows.count { table.visitor(of: $0) != nil } == 2)
        #expect(table.counts.crowded == 0)
    }
}
