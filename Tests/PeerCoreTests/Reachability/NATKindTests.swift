import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct NATKindTests {
    static func observation(_ witness: Int, local: UInt16, seen: UInt16, host: Int = 9) -> NATKind.Observation {
        .init(
            witness: Seal(witness).key, remote: .number(witness),
            local: NodeAddress(host: HostAddress("192.168.1.2")!, port: local)!, seen: .number(host, port: seen))
    }

    @Test func `one port that looks the same to all is endpoint-independent`() {
        let kind = NATKind.judge(
            [Self.observation(1, local: 5_000, seen: 6_000), Self.observation(2, local: 5_000, seen: 6_000)],
            standing: .notReachable)
        #expect(kind.mapping == .endpointIndependent && kind.filtering == .filtered)
        #expect(kind.keepsPorts == false && kind.hosts == [.v4(9)] && kind.witnesses == 2)
    }

    @Test func `one port that looks different to each is endpoint-dependent`() {
        let kind = NATKind.judge(
            [Self.observation(1, local: 5_000, seen: 6_000), Self.observation(2, local: 5_000, seen: 6_001)],
            standing: .unknown)
        #expect(kind.mapping == .endpointDependent && kind.filtering == .unknown)
    }

    @Test func `one answer, or answers about different ports, tell no kind`() {
        let one = [Self.observation(1, local: 5_000, seen: 5_000)]
        #expect(NATKind.judge(one, standing: .unknown).mapping == .unknown)
        #expect(NATKind.judge(one, standing: .unknown).keepsPorts == true)
        let two = one + [Self.observation(2, local: 5_001, seen: 5_001)]
        #expect(NATKind.judge(two, standing: .unknown).mapping == .unknown)
        // Two witnesses at one host may be one.
        var same = Self.observation(2, local: 5_000, seen: 5_000)
        same.remote = .number(1, port: 9)
        #expect(NATKind.judge(one + [same], standing: .unknown).mapping == .unknown)
        #expect(NATKind.judge([], standing: .unknown).mapping == .unknown)
    }

    @Test func `who is seen as he sees himself is behind no NAT`() {
        let own = NodeAddress.number(5, port: 5_000)
        let kind = NATKind.judge(
            [.init(witness: Seal(1).key, remote: .number(1), local: own, seen: own)],
            standing: .reachable([.number(5)]))
        #expect(kind.mapping == .none && kind.filtering == NATKind.Filtering.none && kind.keepsPorts == nil)
    }
}
