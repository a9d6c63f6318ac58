import Logging
import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("A relay's public ports", .serialized, .timeLimit(.minutes(1)))
final class HeldPortsTests {
    private let time = OwnedTime()
    private let log = LogLines()
    private let parts: OnLoop<(ports: HeldPorts, lanes: RelayLanes)>
    private static let key = NodeIdentity(seed: ShellBench.seed(1))!.key

    init() throws { parts = try Self.parts(time, log) }

    deinit { time.stop() }

    /// Nobody asks for channels here.
    private final class NoHost: RelayLanesHost, Sendable {
        static let shared = NoHost()

        func wantChannels(_ session: SessionID, _ count: Int, lane: Int) {}
        func ranShort(_ count: UInt64) {}
        func datagramsMissed(_ session: SessionID) {}
    }

    private static func parts(
        _ time: OwnedTime, _ log: LogLines, descriptors: Int = 10_000
    ) throws -> OnLoop<(ports: HeldPorts, lanes: RelayLanes)> {
        let (control, other) = (try time.loop(), try time.loop())
        return try OnLoop(on: control) {
            let lanes = RelayLanes(on: control, [control, other])
            let reserve = ReserveGate(
                descriptors: .init(limit: descriptors, reserve: 0), buffers: .init(limit: 1 << 30, reserve: 0))
            lanes.start(for: NoHost.shared, policy: VisitorPolicy(filter: .everybody, reserve: reserve))
            let ports = HeldPorts(
                on: control, lanes, at: .ipv4([127, 0, 0, 1]), reserve: reserve, log: log.logger)
            return (ports, lanes)
        }
    }

    private func claim(_ number: UInt64) -> Claim { Claim(key: Self.key, mapping: MappingID(value: number)) }

    @discardableResult
    private func hold(_ number: UInt64, _ range: PortRange) throws -> Bool {
        let claim = claim(number)
        return try parts.run {
            if case .portsHeld(claim, range) = $0.ports.hold(claim, range, .tcp) { return true }
            return false
        }
    }

    private func listen(_ number: UInt64, only: Set<UInt16>? = nil) throws {
        let claim = claim(number)
        try parts.run { $0.ports.listen(claim, for: SessionID(value: 1), .everybody, only) }
    }

    private func isOpen(_ port: UInt16) throws -> Bool {
        // Whoever gets in is turned away by the lane: there is no such session.
        try Visitor.says([1], to: port) != .refused
    }

    @Test("that are held refuse, and nobody else gets them")
    func held() throws {
        let range = try FreePorts.range(3)
        #expect(try hold(1, range))
        for port in range.ports {
            #expect(try !isOpen(port))
            #expect(throws: (any Error).self) { _ = try EchoService(port: port) }
        }
        #expect(try parts.run { $0.ports.has(Self.key) })
    }

    @Test("of which one is taken are not held at all, and it says which one")
    func taken() throws {
        let range = try FreePorts.range(3)
        let other = try EchoService(port: range.first + 2)
        let claim = claim(1)
        let event = try parts.run { $0.ports.hold(claim, range, .tcp) }
        guard case .portsBusy(claim, range, taken: range.first + 2) = event else {
            Issue.record("\(event)")
            return
        }
        #expect(try parts.run { !$0.ports.has(Self.key) })
        let first = try EchoService(port: range.first)
        first.stop()
        other.stop()
        #expect(try hold(1, range))
    }

    @Test("for which there are no descriptors are refused, and those that were bound on the way are free again")
    func short() throws {
        let range = try FreePorts.range(1)
        let few = try Self.parts(time, log, descriptors: 1)
        let claim = claim(1)
        guard case .portsShort(claim) = try few.run({ $0.ports.hold(claim, range, .tcp) }) else {
            Issue.record("it was held")
            return
        }
        let service = try EchoService(port: range.first)
        service.stop()
    }

    @Test("accept while they listen, and refuse again when they pause")
    func listening() throws {
        let range = try FreePorts.range(1)
        try hold(1, range)
        for _ in 0..<3 {
            try listen(1)
            #expect(try isOpen(range.first))
            let claim = claim(1)
            try parts.run { $0.ports.pause(claim) }
            #expect(try !isOpen(range.first))
            #expect(throws: (any Error).self) { _ = try EchoService(port: range.first) }
        }
    }

    @Test("of a range some may accept and others refuse")
    func some() throws {
        let range = try FreePorts.range(3)
        try hold(1, range)
        try listen(1, only: [0, 2])
        #expect(try range.ports.map { try isOpen($0) } == [true, false, true])
        let claim = claim(1)
        try parts.run { $0.ports.pause(claim, [0]) }
        #expect(try range.ports.map { try isOpen($0) } == [false, false, true])
        try listen(1)
        #expect(try range.ports.map { try isOpen($0) } == [true, true, true])
    }

    @Test("that close gently refuse soon, and those of a peer that is gone at once")
    func gently() throws {
        let (first, second) = (try FreePorts.range(1), try FreePorts.range(1))
        for (number, range) in [(UInt64(1), first), (2, second)] {
            try hold(number, range)
            try listen(number)
        }
        let (one, two) = (claim(1), claim(2))
        try parts.run { $0.ports.pauseGently(one) }
        try time.eventually("closed", within: .seconds(5)) { try !self.isOpen(first.first) }
        try parts.run {
            $0.ports.pauseGently(two)
            $0.ports.sessionEnded(of: Self.key)
        }
        #expect(try !isOpen(second.first))
    }

    @Test("that are given back are anybody's")
    func given() throws {
        let range = try FreePorts.range(2)
        try hold(1, range)
        try listen(1)
        let claim = claim(1)
        try parts.run { $0.ports.free(claim) }
        try time.eventually("free", within: .seconds(5)) {
            let services = range.ports.compactMap { try? EchoService(port: $0) }
            defer { for service in services { service.stop() } }
            return services.count == 2
        }
        #expect(try parts.run { !$0.ports.has(Self.key) })
        // Twice is once.
        try parts.run { $0.ports.free(claim) }
    }

    @Test("of a key that is handed over belong to the next one, and go on accepting")
    func renamed() throws {
        let range = try FreePorts.range(1)
        let next = Claim(key: NodeIdentity(seed: ShellBench.seed(2))!.key, mapping: MappingID(value: 1))
        try hold(1, range)
        try listen(1)
        let former = claim(1)
        let moved = try parts.run { parts in
            _ = parts.lanes.takeOver(
                from: [Self.key], by: next.key, hasPorts: { parts.ports.has($0) }, isHere: { _ in false })
            parts.ports.rename(former, to: next)
            return parts.ports.has(next.key) && !parts.ports.has(Self.key)
        }
        #expect(moved)
        #expect(try isOpen(range.first))
        try parts.run { $0.ports.pause(next) }
        #expect(try !isOpen(range.first))
    }

    @Test("refuse all together when the relay stops, and are free when it has closed them")
    func stopped() throws {
        let ranges = try (0..<3).map { _ in try FreePorts.range(1) }
        for (index, range) in ranges.enumerated() {
            try hold(UInt64(index), range)
            try listen(UInt64(index))
        }
        try parts.run { $0.ports.refuseAll() }
        for range in ranges { #expect(try !isOpen(range.first)) }
        try parts.run { $0.ports.freeAll() }
        try time.eventually("free", within: .seconds(5)) {
            ranges.allSatisfy { range in
                guard let service = try? EchoService(port: range.first) else { return false }
                service.stop()
                return true
            }
        }
    }
}
