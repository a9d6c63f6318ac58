import PeerCore
import Testing

@Suite struct RateBucketTests {
    static let rates = [1, 2, 3, 7, 60, 999, 1_000_003, 10_000_000, 1_250_000_000, 99_999_999_999]

    @Test(arguments: rates) func `a full bucket gives one second at once and then nothing`(rate: Int) {
        var bucket = RateBucket(perSecond: rate, at: .at(5))
        accepted(bucket.isFull(at: .at(5)))
        #expect(Self.take(&bucket, .max, .at(5)) == rate)
        #expect(Self.take(&bucket, 1, .at(5)) == 0)
        refused(bucket.isFull(at: .at(5)))
    }

    static func take(_ bucket: inout RateBucket, _ wanted: Int, _ now: Instant) -> Int {
        bucket.take(upTo: wanted, at: now)
    }

    /// A bucket of one token is full before it is asked again, and then loses time.
    @Test(arguments: rates.dropFirst()) func `whoever always wants more gets the rate to the last token`(rate: Int) {
        var random = SeededGenerator(seed: UInt64(rate))
        var bucket = RateBucket(perSecond: rate, at: .zero)
        var now = Instant.zero
        var taken = Self.take(&bucket, .max, now)
        for _ in 0..<20_000 {
            now = now + Instant.Span(nanoseconds: UInt64.random(in: 0...150_000_003, using: &random))
            taken += Self.take(&bucket, .max, now)
        }
        // floor(rate × t) + the burst, in 128 bits.
        let due = UInt128(rate) * UInt128(now.nanoseconds) / 1_000_000_000 + UInt128(rate)
        #expect(UInt128(taken) == due)
    }

    @Test func `no stretch of time gives more than its length and one second`() {
        var random = SeededGenerator(seed: 3)
        let rate = 1_000
        var bucket = RateBucket(perSecond: rate, at: .zero)
        var now = Instant.zero
        var log: [(at: UInt64, count: Int)] = []
        for _ in 0..<2_000 {
            now = now + Instant.Span(nanoseconds: UInt64.random(in: 0...40_000_000, using: &random))
            log.append((now.nanoseconds, Self.take(&bucket, Int.random(in: 0...60, using: &random), now)))
        }
        for first in stride(from: 0, to: log.count, by: 37) {
            var sum = 0
            for entry in log[first...] {
                sum += entry.count
                let most = UInt64(rate) * (entry.at - log[first].at) / 1_000_000_000 + UInt64(rate) + 1
                #expect(sum <= most)
            }
        }
    }

    @Test(arguments: rates) func `it says the very nanosecond at which there is some again`(rate: Int) {
        var random = SeededGenerator(seed: UInt64(rate) &+ 9)
        var bucket = RateBucket(perSecond: rate, at: .zero)
        _ = Self.take(&bucket, .max, .zero)
        var ready = Instant.zero
        for _ in 0..<200 {
            // More than there is: fast buckets gain several in a nanosecond.
            let there = bucket.available(at: ready)
            let count = min(rate, there + Int.random(in: 1...50, using: &random))
            guard count > there else { continue }
            ready = bucket.ready(count)
            var early = bucket
            let before = Instant(nanoseconds: ready.nanoseconds - 1)
            refused(early.take(count, at: before))
            accepted(bucket.take(count, at: ready))
        }
    }

    @Test func `all or none, and more than the burst never`() {
        var bucket = RateBucket(perSecond: 10, at: .zero)
        refused(bucket.take(11, at: .zero))
        accepted(bucket.take(10, at: .zero))
        refused(bucket.take(1, at: .at(99)))
        accepted(bucket.take(1, at: .at(100)))
        refused(bucket.take(11, at: .at(1_000_000)))
        accepted(bucket.take(0, at: .at(1_000_000)))
        refused(bucket.take(-1, at: .at(1_000_000)))
        #expect(bucket.ready(11) == .at(1_000_000))
    }

    @Test func `idle time is worth one second and no more`() {
        var bucket = RateBucket(perSecond: 10, at: .zero)
        _ = Self.take(&bucket, 10, .zero)
        #expect(Self.take(&bucket, .max, .at(86_400_000)) == 10)
        #expect(Self.take(&bucket, .max, .at(86_400_050)) == 0)
        #expect(Self.take(&bucket, .max, .at(86_400_100)) == 1)
    }

    @Test func `a burst of more than a second fills at the rate`() {
        var bucket = RateBucket(perSecond: 10, burst: 1_000, at: .zero)
        #expect(Self.take(&bucket, .max, .zero) == 1_000)
        #expect(bucket.ready(1_000) == .at(100_000) && bucket.ready(2_000) == .at(100_000))
        #expect(bucket.available(at: .at(50_000)) == 500)
        refused(bucket.isFull(at: .at(99_999)))
        accepted(bucket.isFull(at: .at(100_000)))
        #expect(Self.take(&bucket, .max, .at(1_000_000)) == 1_000)
        bucket.putBack(2_000)
        #expect(bucket.available(at: .at(1_000_000)) == 1_000)
        var few = RateBucket(perSecond: 10, burst: 2, at: .zero)
        #expect(Self.take(&few, .max, .zero) == 2 && Self.take(&few, .max, .at(150)) == 1)
        var most = RateBucket(perSecond: 1, burst: .max, at: .zero)
        #expect(Self.take(&most, .max, .zero) == 1_000_000_000)
        #expect(most.ready(.max) == .zero + .seconds(1_000_000_000))
    }

    @Test func `a clock that steps back gives nothing and takes nothing`() {
        var bucket = RateBucket(perSecond: 10, at: .at(1_000))
        _ = Self.take(&bucket, 10, .at(1_000))
        #expect(Self.take(&bucket, 1, .zero) == 0)
        #expect(Self.take(&bucket, 10, .at(1_200)) == 2)
    }

    @Test func `what is put back is there again, up to the burst`() {
        var bucket = RateBucket(perSecond: 100, at: .zero)
        #expect(Self.take(&bucket, 80, .zero) == 80)
        bucket.putBack(30)
        #expect(bucket.available(at: .zero) == 50)
        bucket.putBack(.max)
        #expect(bucket.available(at: .zero) == 100)
    }

    @Test func `another rate counts from when it is set`() {
        var bucket = RateBucket(perSecond: 100, at: .zero)
        bucket.change(perSecond: 10, at: .zero)
        #expect(bucket.rate == 10)
        #expect(Self.take(&bucket, .max, .zero) == 10)
        bucket.change(perSecond: 1_000, at: .zero)
        #expect(Self.take(&bucket, .max, .zero) == 0)
        #expect(Self.take(&bucket, .max, .at(500)) == 500)
    }

    @Test(arguments: [0, -1, .min]) func `a rate below one is one`(rate: Int) {
        #expect(RateBucket(perSecond: rate, at: .zero).rate == 1)
    }

    @Test func `the largest rate there is overflows nothing`() {
        var bucket = RateBucket(perSecond: .max, at: .zero)
        #expect(Self.take(&bucket, .max, .zero) == .max)
        #expect(Self.take(&bucket, .max, Instant(nanoseconds: 1)) == Int.max / 1_000_000_000)
        let late = Instant(nanoseconds: 1 << 62)
        #expect(Self.take(&bucket, .max, late) == .max)
        #expect(bucket.ready(.max) == late + .seconds(1))
    }
}
