public import PeerWire

/// How often somebody may ask for something that all may ask for only so often together.
///
/// Each source (an IPv4 address, an IPv6 /64) has a rate of its own. While less than half is left of what there is for
/// all, networks count too: each /24 (/48) has a sixteenth of it and each /16 (/32) a quarter, so that whoever has many
/// addresses takes nothing from those who have few. While there is enough for all, an office full of nodes is none
/// the worse for being one network.
public struct FairRate: Sendable {
    /// Networks of each width that are counted for themselves; those beyond it share.
    static let counted = 4_096
    public static let shareOfNear = 16
    public static let shareOfWide = 4

    private struct Step: Sendable {
        let rate: Int
        var buckets: [SourceKey: RateBucket] = [:]
        var shared: RateBucket
        var lastSweep = Instant.zero

        init(rate: Int) {
            self.rate = max(1, rate)
            shared = RateBucket(perSecond: rate, at: .zero)
        }

        mutating func take(_ key: SourceKey, _ now: Instant) -> Bool {
            if buckets[key] == nil {
                if buckets.count >= FairRate.counted, now - lastSweep >= .seconds(1) {
                    lastSweep = now
                    buckets = buckets.filter { entry in
                        var bucket = entry.value
                        return !bucket.isFull(at: now)
                    }
                }
                guard buckets.count < FairRate.counted else { return shared.take(1, at: now) }
                buckets[key] = RateBucket(perSecond: rate, at: now)
            }
            return buckets[key]?.take(1, at: now) ?? false
        }
    }

    private var all: RateBucket
    private let half: Int
    private var sources: Step
    private var nears: Step
    private var wides: Step

    public init(perSource: Int, perSecond: Int) {
        all = RateBucket(perSecond: perSecond, at: .zero)
        half = max(1, perSecond) / 2
        sources = Step(rate: perSource)
        nears = Step(rate: perSecond / Self.shareOfNear)
        wides = Step(rate: perSecond / Self.shareOfWide)
    }

    public mutating func take(from host: HostAddress, at now: Instant) -> Bool {
        let source = SourceKey(host)
        guard sources.take(source, now) else { return false }
        if all.available(at: now) <= half {
            let (near, wide) = (nears.take(source.near, now), wides.take(source.wide, now))
            guard near && wide else { return false }
        }
        return all.take(1, at: now)
    }
}
