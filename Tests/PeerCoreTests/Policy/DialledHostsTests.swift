import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct DialledHostsTests {
    static func may(
        _ hosts: inout DialledHosts, _ key: Int, at number: Int, port: UInt16 = 8_088, rows: Int = 10, _ now: Instant,
        _ random: inout SeededGenerator
    ) -> Bool {
        hosts.mayDial(Seal(key).key, at: .number(number, port: port), rows: rows, at: now, using: &random)
    }

    @Test func `a stranger's host is dialled five times in an hour, whatever keys rows have for it`() {
        var hosts = DialledHosts()
        var random = SeededGenerator(seed: 1)
        var dials: [UInt64] = []
        for second in UInt64(0)..<3_600 {
            let now = Instant.at(second * 1_000)
            for key in 0..<20 where Self.may(&hosts, key, at: 7, port: UInt16(1_000 + key), now, &random) {
                hosts.begun(Seal(key).key, at: .number(7), now)
                hosts.failed(Seal(key).key, at: .number(7), now)
                dials.append(second)
            }
        }
        #expect(dials == [0, 5, 35, 215, 1_295])
    }

    @Test func `one dial at a time, and the next as soon as a key was proven there`() {
        var hosts = DialledHosts()
        var random = SeededGenerator(seed: 1)
        #expect(Self.may(&hosts, 1, at: 7, .zero, &random))
        hosts.begun(Seal(1).key, at: .number(7), .zero)
        #expect(!Self.may(&hosts, 2, at: 7, .at(1_000), &random))
        hosts.answered(Seal(1).key, at: .number(7), .at(1_500))
        #expect(Self.may(&hosts, 1, at: 7, .at(1_500), &random))
        #expect(Self.may(&hosts, 2, at: 7, .at(1_500), &random))
        // Its end was never told.
        hosts.begun(Seal(2).key, at: .number(7), .at(1_500))
        #expect(!Self.may(&hosts, 3, at: 7, .at(9_000), &random))
        #expect(Self.may(&hosts, 3, at: 7, .at(9_500), &random))
    }

    @Test func `who was proven is dialled again after failures, for others to judge; strangers at its host are not`() {
        var hosts = DialledHosts()
        var random = SeededGenerator(seed: 1)
        hosts.answered(Seal(1).key, at: .number(7), .zero)
        hosts.failed(Seal(1).key, at: .number(7), .at(10_000))
        #expect(Self.may(&hosts, 1, at: 7, .at(10_000), &random))
        hosts.failed(Seal(2).key, at: .number(7), .at(10_000))
        #expect(Self.may(&hosts, 1, at: 7, .at(10_000), &random))
        #expect(!Self.may(&hosts, 2, at: 7, .at(10_000), &random))
        #expect(hosts.keys(at: .v4(7), .at(3_599_000)) == [Seal(1).key])
        #expect(hosts.keys(at: .v4(7), .at(3_600_000)).isEmpty)
    }

    @Test func `who did not answer the last time is known and not there, until he answers`() {
        var hosts = DialledHosts()
        let (key, host) = (Seal(1).key, HostAddress.v4(7))
        hosts.missed(key, at: host)
        #expect(!hosts.isThere(key, at: host, .zero))
        hosts.answered(key, at: .number(7), .zero)
        #expect(hosts.isThere(key, at: host, .zero))
        hosts.missed(key, at: host)
        #expect(!hosts.isThere(key, at: host, .at(1_000)) && hosts.isProven(key, at: host, .at(1_000)))
        hosts.answered(key, at: .number(7), .at(2_000))
        #expect(hosts.isThere(key, at: host, .at(2_000)))
        #expect(!hosts.isThere(key, at: host, .at(3_602_000)))
    }

    @Test func `a network where nobody answers sees sixteen dials an hour`() {
        var hosts = DialledHosts()
        var random = SeededGenerator(seed: 1)
        var dials = 0
        for second in stride(from: UInt64(0), to: 7_100, by: 10) {
            for host in 256..<512 where Self.may(&hosts, host, at: host, .at(second * 1_000), &random) {
                hosts.failed(Seal(host).key, at: .number(host), .at(second * 1_000))
                dials += 1
            }
        }
        #expect(dials == 32)
        #expect(Self.may(&hosts, 1, at: 513, .at(7_100_000), &random))
    }

    @Test func `a node that knows enough others does not hurry where rows are many`() {
        var random = SeededGenerator(seed: 1)
        var newcomer = DialledHosts()
        #expect(Self.may(&newcomer, 1, at: 70_000, rows: 11_000, .zero, &random))
        var first: [UInt64] = []
        for node in 0..<1_000 {
            var hosts = DialledHosts()
            for host in 0..<8 { hosts.answered(Seal(host).key, at: .number(host << 8), .zero) }
            // In a small mesh at once.
            #expect(Self.may(&hosts, 1, at: 70_001, rows: 128, .zero, &random))
            var minute: UInt64 = 0
            while minute < 31, !Self.may(&hosts, 1, at: 70_000, rows: 11_000, .at(minute * 60_000), &random) {
                minute += 1
            }
            #expect(minute <= 30, "node \(node)")
            first.append(minute)
        }
        let busiest = Dictionary(grouping: first) { $0 }.values.map(\.count).max() ?? 0
        #expect(busiest < 60, "\(busiest) of a thousand nodes in one minute")
    }

    @Test func `it remembers so many hosts and no more`() {
        var limits = DialledHosts.Limits()
        limits.hosts = 100
        limits.failuresOfNetwork = 1_000_000
        var hosts = DialledHosts(limits)
        var random = SeededGenerator(seed: 1)
        for host in 0..<1_000 where Self.may(&hosts, host, at: host << 8, .zero, &random) {
            hosts.failed(Seal(host).key, at: .number(host << 8), .zero)
        }
        #expect(hosts.strangerCount == 100)
        for host in 0..<1_000 { hosts.answered(Seal(host).key, at: .number(host << 8), .zero) }
        for key in 0..<1_000 { hosts.answered(Seal(key).key, at: .number(0), .at(UInt64(key))) }
        #expect(hosts.provenCount == 100)
        #expect(hosts.keys(at: .v4(0), .at(1_000)).count == DialledHosts.Limits().keysPerHost)
    }

    @Test func `where the user has many nodes behind one address each port counts by itself`() {
        var hosts = DialledHosts(byPort: true)
        var random = SeededGenerator(seed: 1)
        hosts.failed(Seal(1).key, at: .number(7, port: 1), .zero)
        #expect(!Self.may(&hosts, 1, at: 7, port: 1, .zero, &random))
        #expect(Self.may(&hosts, 1, at: 7, port: 2, .zero, &random))
    }
}
