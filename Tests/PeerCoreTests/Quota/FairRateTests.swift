import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct FairRateTests {
    /// How many of so many tries in each second are taken, of a flood and of honest ones between.
    static func run(
        _ flood: [HostAddress], _ honest: [HostAddress], seconds: UInt64 = 10, tries: Int = 4_000
    ) -> (flood: Int, honest: Int) {
        var rate = FairRate(perSource: 20, perSecond: 400)
        var (taken, served) = (0, 0)
        for second in UInt64(0)..<seconds {
            for step in 0..<tries {
                let now = Instant.at(second * 1_000 + UInt64(step * 1_000 / tries))
                if !flood.isEmpty, rate.take(from: flood[step % flood.count], at: now) { taken += 1 }
                if !honest.isEmpty, step % (tries / 10) == 0 {
                    for host in honest where rate.take(from: host, at: now) { served += 1 }
                }
            }
        }
        return (taken, served)
    }

    @Test func `a source has so many in a second`() {
        let (taken, _) = Self.run([.v4(1)], [])
        #expect((200...220).contains(taken))
    }

    @Test func `an office in one network has all there is while nobody else wants it`() {
        // Twenty hosts, ten times a second each: half of what there is for all.
        let (_, served) = Self.run([], (0..<20).map { .v4($0) }, tries: 1_000)
        #expect(served == 2_000)
    }

    @Test func `a flood of two thousand addresses of one provider takes nothing from the others`() {
        for flood in [
            (0..<2_000).map { HostAddress.v4(0x200000 + $0 * 16) }, (0..<2_000).map { .v6([0x2001, 0xdb8, 1, $0], 1) },
            (0..<4).map { .v4(0x330000 + $0) },
        ] {
            let (taken, served) = Self.run(flood, (1...5).map { .v4($0 << 16) })
            #expect(served == 500, "\(served) of 500")
            #expect(taken <= 4_000)
        }
    }
}
