import PeerCore
import PeerWire
import Testing

@testable import PeerServices

@Suite("The plan of bandwidth measurements")
struct BandwidthPlanTests {
    private let relays = (1...3).map { NodeKey(bytes: [UInt8](repeating: $0, count: 32))! }
    private func second(_ number: UInt64) -> Instant { .zero + .seconds(number) }

    @Test func `begins after a while, with the best, and has one at a time`() {
        var plan = BandwidthPlan(at: .zero)
        #expect(plan.choose(relays, at: second(9)) == nil)
        #expect(plan.choose(relays, at: second(10)) == relays[0])
        #expect(plan.choose(relays, at: second(500)) == nil)
        plan.ended(relays[0], isMeasured: true, at: second(500))
        #expect(plan.choose(relays, at: second(500)) == relays[1])
    }

    @Test func `leaves a minute between two, and six hours until the same again`() {
        var plan = BandwidthPlan(at: .zero)
        var measured: [(NodeKey, UInt64)] = []
        for now in UInt64(0)..<(7 * 3_600) {
            guard let key = plan.choose(relays, at: second(now)) else { continue }
            measured.append((key, now))
            plan.ended(key, isMeasured: true, at: second(now))
        }
        #expect(measured.map(\.1) == [10, 70, 130, 21_610, 21_670, 21_730])
        #expect(measured.map(\.0) == relays + relays)
    }

    @Test func `tries again in a minute where somebody was in the way`() {
        var plan = BandwidthPlan(at: .zero)
        #expect(plan.choose(relays, at: second(10)) == relays[0])
        plan.ended(relays[0], isMeasured: false, at: second(11))
        #expect(plan.choose(relays, at: second(69)) == nil)
        #expect(plan.choose(relays, at: second(70)) == relays[0])
    }
}

@Suite("What is dialled on others' word")
struct DialJudgeTests {
    private func host(_ text: String) -> HostAddress { HostAddress(text)! }

    @Test func `is public addresses, and loopback only where the configuration says so`() throws {
        let strict = DialGuard(widened: [])
        #expect(strict.allows(host("1.1.1.1")))
        for text in ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1"] {
            #expect(!strict.allows(host(text)), "\(text)")
        }
        let wide = DialGuard(widened: [try Network("127.0.0.0/8")])
        #expect(wide.allows(host("127.0.0.1")) && !wide.allows(host("::1")))
    }

    @Test func `takes a connection from this machine for one that a relay carried, unless it may dial itself`() throws {
        #expect(DialGuard(widened: []).isOwn(host("127.0.0.1")))
        #expect(DialGuard(widened: []).isOwn(host("::1")))
        #expect(!DialGuard(widened: []).isOwn(host("1.1.1.1")))
        #expect(!DialGuard(widened: [try Network("127.0.0.0/8")]).isOwn(host("127.0.0.1")))
    }
}
