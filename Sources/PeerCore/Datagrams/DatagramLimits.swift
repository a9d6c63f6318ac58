/// What a relay allows the visitors of one mapping for datagrams. The flows and how long they last are also a peer's.
public struct DatagramLimits: Hashable, Sendable {
    /// `nil`: no limit. Rates hold in each direction, with a burst of one second.
    public struct Rates: Hashable, Sendable {
        public var datagramsPerSecond: Int?
        public var bytesPerSecond: Int?
        public var newFlowsPerSecond: Int?

        public init() {}

        var isNone: Bool { datagramsPerSecond == nil && bytesPerSecond == nil && newFlowsPerSecond == nil }
    }

    public var flows = 4_096
    /// Of one source; `nil`: as many as there are places, though only some of them are kept for it (`FlowTable`).
    public var flowsPerSource: Int?
    /// Of all visitors of a mapping together.
    public var mapping = Rates()
    /// Of one source: an address, of IPv6 a /64.
    public var source = Rates()
    /// A flow ends after this while only the visitor has spoken. Seconds.
    public var idleUnanswered = 30
    /// The same once the service has answered. Seconds.
    public var idle = 180

    public init() {}

    public var table: FlowTable.Limits {
        var limits = FlowTable.Limits()
        limits.flows = flows
        limits.oneWay = .seconds(UInt64(max(1, idleUnanswered)))
        limits.bothWays = .seconds(UInt64(max(1, idle)))
        return limits
    }
}

/// Holds the visitors of one mapping to its limits: all of them together, and each source. It knows the sources that
/// have flows and no others, so it is as bounded as the flows are. No I/O, no clock.
public struct FlowQuota: Sendable {
    private struct Way: Sendable {
        var datagrams: RateBucket?
        var bytes: RateBucket?

        init(_ rates: DatagramLimits.Rates, at now: Instant) {
            datagrams = rates.datagramsPerSecond.map { RateBucket(perSecond: $0, at: now) }
            bytes = rates.bytesPerSecond.map { RateBucket(perSecond: $0, at: now) }
        }

        /// Whether there is room for a datagram of so many bytes; one longer than the burst goes when all of that is
        /// there.
        mutating func has(_ count: Int, at now: Instant) -> Bool {
            guard datagrams?.available(at: now) != 0 else { return false }
            return bytes?.available(at: now) ?? count >= min(count, bytes?.burst ?? count)
        }

        mutating func take(_ count: Int, at now: Instant) {
            _ = datagrams?.take(1, at: now)
            _ = bytes?.take(upTo: count, at: now)
        }
    }

    private struct Use: Sendable {
        var flows = 0
        var newcomers: RateBucket?
        var fromVisitors: Way
        var toVisitors: Way

        init(_ rates: DatagramLimits.Rates, at now: Instant) {
            newcomers = rates.newFlowsPerSecond.map { RateBucket(perSecond: $0, at: now) }
            fromVisitors = Way(rates, at: now)
            toVisitors = Way(rates, at: now)
        }
    }

    private let limits: DatagramLimits
    private var all: Use
    private var sources: [UInt64: Use] = [:]
    /// There is nothing to hold anybody to.
    private let isFree: Bool
    private let isSourceFree: Bool

    public init(_ limits: DatagramLimits, at now: Instant) {
        self.limits = limits
        all = Use(limits.mapping, at: now)
        isSourceFree = limits.source.isNone && limits.flowsPerSource == nil
        isFree = isSourceFree && limits.mapping.isNone
    }

    /// Sources with flows.
    public var sourceCount: Int { sources.count }

    /// Whether a source may open one more flow now.
    public mutating func mayOpen(_ source: UInt64, at now: Instant) -> Bool {
        if isFree { return true }
        var use = sources[source] ?? Use(limits.source, at: now)
        if let most = limits.flowsPerSource, use.flows >= most { return false }
        guard all.newcomers?.available(at: now) != 0, use.newcomers?.take(1, at: now) != false else { return false }
        _ = all.newcomers?.take(1, at: now)
        if sources[source] != nil { sources[source] = use }
        return true
    }

    /// It has opened one.
    public mutating func opened(_ source: UInt64, at now: Instant) {
        if isSourceFree { return }
        if sources[source] == nil {
            sources[source] = Use(limits.source, at: now)
            _ = sources[source]?.newcomers?.take(1, at: now)
        }
        sources[source]?.flows += 1
    }

    /// One of its flows is over.
    public mutating func ended(_ source: UInt64) {
        guard let flows = sources[source]?.flows else { return }
        sources[source]?.flows = flows - 1
        if flows <= 1 { sources[source] = nil }
    }

    /// Whether a datagram of so many bytes may pass now; what may not is dropped.
    public mutating func take(_ count: Int, of source: UInt64, isFromVisitor: Bool, at now: Instant) -> Bool {
        if isFree { return true }
        let way: WritableKeyPath<Use, Way> = isFromVisitor ? \.fromVisitors : \.toVisitors
        guard all[keyPath: way].has(count, at: now) else { return false }
        if !limits.source.isNone, sources[source] != nil {
            guard sources[source]?[keyPath: way].has(count, at: now) == true else { return false }
            sources[source]?[keyPath: way].take(count, at: now)
        }
        all[keyPath: way].take(count, at: now)
        return true
    }
}
