import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct LeaseTableTests {
    static func lease(
        _ key: UInt8, _ mapping: UInt64, _ ports: ClosedRange<UInt16>, _ protocols: TransportProtocols = .tcp,
        expires: Int64 = 100
    ) -> Lease {
        Lease(
            key: .number(key), mapping: .number(mapping),
            ports: PortRange(first: ports.lowerBound, last: ports.upperBound)!,
            protocols: protocols, peerName: "peer", target: "", expires: WallTime(seconds: expires))
    }

    static func claim(_ key: UInt8, _ mapping: UInt64) -> Claim { Claim(key: .number(key), mapping: .number(mapping)) }

    @Test func `a port belongs to one claim for each protocol`() {
        var table = LeaseTable()
        accepted(table.enter(Self.lease(1, 1, 10...12)))
        refused(table.enter(Self.lease(2, 1, 12...13)))
        refused(table.enter(Self.lease(1, 2, 10...10)))
        accepted(table.enter(Self.lease(2, 1, 10...12, .udp)))
        refused(table.enter(Self.lease(3, 1, 12...12, [.tcp, .udp])))
        #expect(table.owner(of: .only(11), .tcp) == Self.claim(1, 1))
        #expect(table.owner(of: .only(11), .udp) == Self.claim(2, 1))
        #expect(table.owner(of: .only(13), [.tcp, .udp]) == nil)
        #expect(table.count == 2)
    }

    @Test func `a new lease of a claim replaces its former one`() {
        var table = LeaseTable()
        accepted(table.enter(Self.lease(1, 1, 10...12)))
        accepted(table.enter(Self.lease(1, 1, 12...14)))
        #expect(table.owner(of: .only(10), .tcp) == nil)
        #expect(table.owner(of: .only(14), .tcp) == Self.claim(1, 1))
        #expect(table.count == 1)
    }

    @Test func `a lease that does not fit changes nothing`() {
        var table = LeaseTable()
        accepted(table.enter(Self.lease(1, 1, 10...12)))
        accepted(table.enter(Self.lease(2, 1, 20...20)))
        refused(table.enter(Self.lease(1, 1, 19...21)))
        #expect(table[Self.claim(1, 1)]?.ports == PortRange(first: 10, last: 12))
        #expect(table.owner(of: .only(10), .tcp) == Self.claim(1, 1))
        #expect(table.owner(of: .only(19), .tcp) == nil)
    }

    @Test func `a removed lease leaves its ports to others`() {
        var table = LeaseTable()
        accepted(table.enter(Self.lease(1, 1, 10...12, [.tcp, .udp])))
        let (removed, again) = (table.remove(Self.claim(1, 1)), table.remove(Self.claim(1, 1)))
        #expect(removed == Self.lease(1, 1, 10...12, [.tcp, .udp]) && again == nil)
        accepted(table.enter(Self.lease(2, 1, 10...12)))
    }

    @Test func `leases run out when they say, unless prolonged`() {
        var table = LeaseTable()
        accepted(table.enter(Self.lease(1, 1, 10...10, expires: 50)))
        accepted(table.enter(Self.lease(2, 1, 11...11, expires: 60)))
        #expect(table.expired(at: WallTime(seconds: 49)).isEmpty)
        #expect(table.expired(at: WallTime(seconds: 50)) == [Self.claim(1, 1)])
        table.prolong(Self.claim(1, 1), until: WallTime(seconds: 70))
        #expect(table.expired(at: WallTime(seconds: 60)) == [Self.claim(2, 1)])
    }

    @Test func `it agrees with a plain list on random leases`() {
        for seed in UInt64(0)..<20 {
            var random = SeededGenerator(seed: seed)
            var table = LeaseTable()
            var model: [Claim: Lease] = [:]
            for _ in 0..<300 {
                let claim = Self.claim(
                    UInt8.random(in: 1...4, using: &random), UInt64.random(in: 1...3, using: &random))
                if Int.random(in: 0..<4, using: &random) == 0 {
                    let removed = table.remove(claim)
                    #expect(removed == model.removeValue(forKey: claim))
                    continue
                }
                let first = UInt16.random(in: 100...120, using: &random)
                let protocols = TransportProtocols(rawValue: UInt8.random(in: 1...3, using: &random))
                var lease = Self.lease(1, 1, first...(first + UInt16.random(in: 0...4, using: &random)), protocols)
                lease.key = claim.key
                lease.mapping = claim.mapping
                let isFree = !model.contains {
                    $0.key != claim && $0.value.ports.overlaps(lease.ports)
                        && !$0.value.protocols.isDisjoint(with: lease.protocols)
                }
                let isEntered = table.enter(lease)
                #expect(isEntered == isFree)
                if isFree { model[claim] = lease }
            }
            #expect(Set(table.all) == Set(model.values))
        }
    }
}
