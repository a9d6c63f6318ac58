import PeerCore
import Testing

@Suite("What visitors of a mapping for datagrams may have")
struct FlowQuotaTests {
    private func second(_ number: UInt64) -> Instant { .zero + .seconds(number) }

    private func quota(_ change: (inout DatagramLimits) -> Void) -> FlowQuota {
        var limits = DatagramLimits()
        change(&limits)
        return FlowQuota(limits, at: .zero)
    }

    @Test func `without limits everything passes, and no source is remembered`() {
        var quota = quota { _ in }
        for source: UInt64 in 0..<100 {
            let mayOpen = quota.mayOpen(source, at: .zero)
            quota.opened(source, at: .zero)
            let passes = quota.take(65_507, of: source, isFromVisitor: true, at: .zero)
            #expect(mayOpen && passes)
        }
        #expect(quota.sourceCount == 0)
    }

    @Test func `one source has so many flows, and one more when one of them is over`() {
        var quota = quota { $0.flowsPerSource = 2 }
        for _ in 0..<2 {
            let mayOpen = quota.mayOpen(7, at: .zero)
            #expect(mayOpen)
            quota.opened(7, at: .zero)
        }
        var mayOpen = (quota.mayOpen(7, at: .zero), quota.mayOpen(8, at: .zero))
        #expect(mayOpen == (false, true))
        quota.ended(7)
        mayOpen = (quota.mayOpen(7, at: .zero), true)
        #expect(mayOpen.0)
        quota.ended(7)
        #expect(quota.sourceCount == 0)
    }

    @Test func `a source above its rate waits for it, and others do not`() {
        var quota = quota { $0.source.datagramsPerSecond = 10 }
        quota.opened(7, at: .zero)
        quota.opened(8, at: .zero)
        let many = (0..<20).count { _ in quota.take(100, of: 7, isFromVisitor: true, at: .zero) }
        let back = (0..<20).count { _ in quota.take(100, of: 7, isFromVisitor: false, at: .zero) }
        let others = (0..<5).count { _ in quota.take(100, of: 8, isFromVisitor: true, at: .zero) }
        #expect((many, back, others) == (10, 10, 5))
        let later = (0..<20).count { _ in quota.take(100, of: 7, isFromVisitor: true, at: second(1)) }
        #expect(later == 10)
    }

    @Test func `all visitors share the mapping's bytes, and what one may not have the others keep`() {
        var quota = quota {
            $0.mapping.bytesPerSecond = 1_000
            $0.source.bytesPerSecond = 300
        }
        for source: UInt64 in 0..<5 { quota.opened(source, at: .zero) }
        let passed = (0..<5).map { (source: UInt64) in
            (0..<10).count { _ in quota.take(100, of: source, isFromVisitor: true, at: .zero) }
        }
        #expect(passed == [3, 3, 3, 1, 0])
    }

    @Test func `a datagram longer than the burst passes when all of it is there`() {
        var quota = quota { $0.mapping.bytesPerSecond = 500 }
        quota.opened(1, at: .zero)
        var passed = quota.take(1_200, of: 1, isFromVisitor: true, at: .zero)
        #expect(passed)
        passed = quota.take(1_200, of: 1, isFromVisitor: true, at: .zero + .milliseconds(500))
        #expect(!passed)
        passed = quota.take(1_200, of: 1, isFromVisitor: true, at: second(1))
        #expect(passed)
    }

    @Test func `new flows have a rate, for each source and for all`() {
        var quota = quota {
            $0.mapping.newFlowsPerSecond = 6
            $0.source.newFlowsPerSecond = 4
        }
        func opens(_ source: UInt64, _ now: Instant, _ quota: inout FlowQuota) -> Int {
            var opened = 0
            for _ in 0..<10 where quota.mayOpen(source, at: now) {
                quota.opened(source, at: now)
                opened += 1
            }
            return opened
        }
        let first = (opens(1, .zero, &quota), opens(2, .zero, &quota))
        #expect(first == (4, 2))
        let second = opens(1, second(1), &quota)
        #expect(second == 4)
    }
}
