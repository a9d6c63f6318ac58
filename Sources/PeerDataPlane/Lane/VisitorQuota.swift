package import PeerCore
package import PeerReactor

/// What the visitors of one membership use at a relay, held to its limits: how many at once, how many new ones a
/// second, how many bytes a second in each direction. Shared by all sessions of the membership, which may be on
/// several lanes; so it has a lock, which only the traffic of a limited membership ever takes.
package final class VisitorQuota: ByteAllowance {
    private struct State {
        var limits: Grant.Limits
        var open = 0
        var newcomers: RateBucket?
        var fromVisitors: RateBucket?
        var toVisitors: RateBucket?
        var datagramsFromVisitors: RateBucket?
        var datagramsToVisitors: RateBucket?

        init(_ limits: Grant.Limits, at now: Instant) {
            self.limits = limits
            hold(limits, at: now)
        }

        mutating func hold(_ limits: Grant.Limits, at now: Instant) {
            self.limits = limits
            Self.hold(&newcomers, limits.connectionsPerSecond, now)
            Self.hold(&fromVisitors, limits.bytesPerSecond, now)
            Self.hold(&toVisitors, limits.bytesPerSecond, now)
            Self.hold(&datagramsFromVisitors, limits.datagramsPerSecond, now)
            Self.hold(&datagramsToVisitors, limits.datagramsPerSecond, now)
        }

        private static func hold(_ bucket: inout RateBucket?, _ rate: Int?, _ now: Instant) {
            guard let rate else { return bucket = nil }
            if bucket == nil { bucket = RateBucket(perSecond: rate, at: now) }
            bucket?.change(perSecond: rate, at: now)
        }
    }

    /// A visitor's place; given back when the last reference to it goes, whatever became of it.
    package final class Slot {
        private let quota: VisitorQuota
        fileprivate init(_ quota: VisitorQuota) { self.quota = quota }
        deinit { quota.leave() }
    }

    /// Less than this is not worth a read, unless the rate is so low that it would take long.
    private static let quantum = 16_384
    /// The longest that bytes are saved up before they are read, as a part of a second.
    private static let quantaPerSecond = 20

    private let state: Locked<State>

    package init(_ limits: Grant.Limits, at now: Instant) { state = Locked(State(limits, at: now)) }

    /// Whether there is anything that lanes have to hold visitors to.
    package static func isNeeded(for limits: Grant.Limits) -> Bool {
        limits.connections != nil || limits.connectionsPerSecond != nil || limits.bytesPerSecond != nil
            || limits.datagramsPerSecond != nil
    }

    /// A token was renewed. Who is here stays, also above a lower limit.
    package func change(_ limits: Grant.Limits, at now: Instant) { state.withLock { $0.hold(limits, at: now) } }

    /// A place for one more visitor; `nil`: there is none now.
    package func admit(at now: Instant) -> Slot? {
        let isAdmitted = state.withLock { state in
            if let limit = state.limits.connections, state.open >= limit { return false }
            if state.newcomers?.take(1, at: now) == false { return false }
            state.open += 1
            return true
        }
        return isAdmitted ? Slot(self) : nil
    }

    private func leave() { state.withLock { $0.open -= 1 } }

    /// Whether nobody is here and nothing would be gained by starting anew.
    package func isIdle(at now: Instant) -> Bool {
        state.withLock { state in
            state.open == 0 && state.newcomers?.isFull(at: now) != false && state.fromVisitors?.isFull(at: now) != false
                && state.toVisitors?.isFull(at: now) != false
                && state.datagramsFromVisitors?.isFull(at: now) != false
                && state.datagramsToVisitors?.isFull(at: now) != false
        }
    }

    /// Whether a datagram of so many bytes may pass now; what is longer than the burst may when there is all of it.
    package func takeDatagram(_ count: Int, _ isFromVisitor: Bool, at now: Instant) -> Bool {
        state.withLock { state in
            isFromVisitor
                ? Self.takeDatagram(&state.datagramsFromVisitors, &state.fromVisitors, count, now)
                : Self.takeDatagram(&state.datagramsToVisitors, &state.toVisitors, count, now)
        }
    }

    private static func takeDatagram(
        _ datagrams: inout RateBucket?, _ bytes: inout RateBucket?, _ count: Int, _ now: Instant
    ) -> Bool {
        if let there = bytes?.available(at: now), there < min(count, bytes?.burst ?? 0) { return false }
        guard datagrams?.take(1, at: now) != false else { return false }
        _ = bytes?.take(upTo: count, at: now)
        return true
    }

    /// For a forwarder with the visitor on its left; `nil`: as fast as it goes.
    package var allowance: (any ByteAllowance)? { state.withLock { $0.fromVisitors != nil } ? self : nil }

    // MARK: ByteAllowance

    package func take(upTo wanted: Int, _ isFromVisitor: Bool, at now: Instant) -> Int {
        state.withLock { state in
            isFromVisitor ? Self.take(&state.fromVisitors, wanted, now) : Self.take(&state.toVisitors, wanted, now)
        }
    }

    private static func take(_ bucket: inout RateBucket?, _ wanted: Int, _ now: Instant) -> Int {
        guard let there = bucket?.available(at: now) else { return wanted }
        guard there >= min(wanted, worthwhile(bucket)) else { return 0 }
        return bucket?.take(upTo: wanted, at: now) ?? wanted
    }

    private static func worthwhile(_ bucket: RateBucket?) -> Int {
        max(1, min(quantum, (bucket?.rate ?? 0) / quantaPerSecond))
    }

    package func putBack(_ count: Int, _ isFromVisitor: Bool) {
        state.withLock { state in
            if isFromVisitor { state.fromVisitors?.putBack(count) } else { state.toVisitors?.putBack(count) }
        }
    }

    package func ready(_ isFromVisitor: Bool) -> Instant {
        state.withLock { state in
            let bucket = isFromVisitor ? state.fromVisitors : state.toVisitors
            return bucket?.ready(Self.worthwhile(bucket)) ?? .zero
        }
    }
}

/// The quotas of a relay's memberships, for as long as somebody uses them. Belongs to the control loop.
package struct VisitorQuotas {
    private var quotas: [Grant.Membership: VisitorQuota] = [:]

    package init() {}

    /// The one that counts for a grant; `nil`: its visitors are held to nothing.
    package mutating func quota(for membership: Grant.Membership, _ limits: Grant.Limits, at now: Instant)
        -> VisitorQuota?
    {
        guard VisitorQuota.isNeeded(for: limits) else {
            // A renewed token that has no limits any more.
            quotas[membership]?.change(limits, at: now)
            return quotas[membership]
        }
        if let known = quotas[membership] {
            known.change(limits, at: now)
            return known
        }
        let quota = VisitorQuota(limits, at: now)
        quotas[membership] = quota
        return quota
    }

    /// Forgets those of memberships without a session whose visitors are gone. A new session would find the same.
    package mutating func timePassed(at now: Instant, inUse: (Grant.Membership) -> Bool) {
        for (membership, quota) in quotas where quota.isIdle(at: now) && !inUse(membership) {
            quotas[membership] = nil
        }
    }
}
