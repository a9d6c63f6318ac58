import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct StrangerProbesTests {
    static func candidate(_ key: Int, at host: Int, _ witnesses: [Int] = []) -> StrangerProbes.Candidate {
        .init(key: Seal(key).key, address: .number(host), witnesses: witnesses.map { NetworkSteps(of: .v4($0)) })
    }

    /// What is dialled in so many seconds, where nobody answers but those.
    static func dialled(
        _ candidates: [StrangerProbes.Candidate], seconds: UInt64, seed: UInt64 = 1, hosts: inout DialledHosts,
        answers: Set<NodeKey> = []
    ) -> [(second: UInt64, key: NodeKey, host: HostAddress)] {
        var probes = StrangerProbes()
        var random = SeededGenerator(seed: seed)
        var dialled: [(second: UInt64, key: NodeKey, host: HostAddress)] = []
        var left = candidates
        for second in 0..<seconds {
            let now = Instant.at(second * 1_000)
            for probe in probes.next(left, hosts: &hosts, rows: 1_500, at: now, using: &random) {
                dialled.append((second, probe.key, probe.address.host))
                let answered = answers.contains(probe.key)
                probes.ended(probe.key, answered: answered, hosts: &hosts, at: now)
                if answered { left.removeAll { $0.key == probe.key } }
            }
        }
        return dialled
    }

    @Test func `of fifteen hundred made-up relays at one host a few are dialled, and an honest one among the first`() {
        let (first, second) = (9 << 16, 10 << 16)
        let made = (0..<1_500).map { Self.candidate(1_000 + $0, at: 0x777777, [first, second]) }
        for seed in UInt64(0)..<3 {
            var hosts = DialledHosts()
            let honest = Self.candidate(1, at: 5 << 16, [3 << 16])
            let dialled = Self.dialled(
                made + [honest], seconds: 300, seed: seed, hosts: &hosts, answers: [honest.key])
            #expect(dialled.first { $0.key == honest.key }?.second == 0, "seed \(seed)")
            #expect(dialled.count { $0.host == .v4(0x777777) } <= 4)
        }
    }

    @Test func `of fifteen hundred at as many hosts an honest one is found soon, and their witnesses believed no more`()
    {
        let (first, second) = (9 << 16, 10 << 16)
        let made = (0..<1_500).map { Self.candidate(1_000 + $0, at: 100 + $0 << 8, [first, second]) }
        for seed in UInt64(0)..<5 {
            var hosts = DialledHosts()
            let honest = Self.candidate(1, at: 5 << 16, [3 << 16])
            let dialled = Self.dialled(made + [honest], seconds: 100, seed: seed, hosts: &hosts, answers: [honest.key])
            let found = dialled.first { $0.key == honest.key }?.second ?? .max
            #expect(found <= 2, "seed \(seed): after \(found) s")
            #expect(dialled.count < 90)
        }
    }

    @Test func `without any witness that was met relays are tried all the same, some at once and then slowly`() {
        var hosts = DialledHosts()
        let dialled = Self.dialled((0..<100).map { Self.candidate($0, at: $0 << 8) }, seconds: 60, hosts: &hosts)
        #expect(dialled.count { $0.second == 0 } <= 8)
        #expect(dialled.count { $0.second <= 1 } >= 8)
        #expect((30...40).contains(dialled.count), "\(dialled.count)")
    }

    @Test func `four at once, and one without an end gives its place up`() {
        var probes = StrangerProbes()
        var hosts = DialledHosts()
        var random = SeededGenerator(seed: 1)
        let candidates = (0..<20).map { Self.candidate($0, at: $0 << 8, [3 << 16]) }
        #expect(probes.next(candidates, hosts: &hosts, rows: 20, at: .zero, using: &random).count == 4)
        #expect(!probes.hasRoom)
        #expect(probes.nextDeadline == .at(3_000))
        #expect(probes.next(candidates, hosts: &hosts, rows: 20, at: .at(2_999), using: &random).isEmpty)
        #expect(probes.next(candidates, hosts: &hosts, rows: 20, at: .at(3_000), using: &random).count == 4)
    }
}
