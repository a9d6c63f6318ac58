internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The relay's data plane on one loop: public ports that accept, ready channels of sessions, and the visitors that
/// they carry. Of a session's channels each lane has a group of its own.
///
/// 1. A visitor is accepted on a public port, and dealt to one of the lanes, where he stays.
/// 2. A ready channel of the session is taken; if there is none, the visitor waits and the peer is asked for more.
/// 3. The channel is told of the visitor. A channel that was heard of just now carries it at once (`Forwarder`);
///    one that idled must prove that it lives first (`PendingVisitor`).
/// 4. When the visitor has come to his end at both sides, the channel is the youngest ready one (`ChannelFrame`).
final class RelayLane {
    private struct WaitingVisitor: ~Copyable {
        let stream: Stream
        let address: SocketAddress
        let claim: Claim
        let offset: UInt16
        let isCheckOnly: Bool
        let slot: VisitorQuota.Slot?

        consuming func into() -> Stream { stream }
    }

    /// What is known of a visitor that was accepted, on its way to the lane that serves it.
    struct AcceptedVisitor: Sendable {
        fileprivate let address: SocketAddress
        fileprivate let claim: Claim
        fileprivate let offset: UInt16
        fileprivate let session: SessionID
        fileprivate let filter: NetworkFilter
    }

    /// What a visitor takes along on his way.
    private struct VisitContext {
        let claim: Claim
        let session: SessionID
        /// Kept until he has gone.
        let slot: VisitorQuota.Slot?
        let allowance: (any ByteAllowance)?
    }

    /// A visitor on a channel.
    private final class Visit: Forwarder {
        private weak var lane: RelayLane?
        let claim: Claim
        let session: SessionID
        private var slot: VisitorQuota.Slot?
        private let began: Instant

        init(
            on lane: RelayLane, _ context: VisitContext, _ visitor: consuming Stream, _ channel: consuming Stream,
            early: [UInt8]
        ) {
            self.lane = lane
            claim = context.claim
            session = context.session
            slot = context.slot
            began = lane.loop.now
            super.init(on: lane.loop, left: visitor, right: channel, early: early)
            allowance = context.allowance
        }

        /// Nothing says that the peer's machine has heard of him.
        var isUnheard: Bool {
            bytesRightToLeft == 0 && isRightUnacknowledged(for: (lane?.loop.clock() ?? began) - began)
        }

        override func ended(_ ending: Ending) {
            lane?.ended(self)
            slot = nil
        }

        /// Nobody but a node that checks whether the port is reached gets just so much for so little, of which some may
        /// have gone before this began.
        var wasCheck: Bool {
            bytesLeftToRight <= UInt64(ReachabilityCheck.probeByteCount)
                && bytesRightToLeft == UInt64(ReachabilityCheck.answerByteCount)
        }

        override func partedWithChannel(_ stream: consuming Stream?, _ rest: [UInt8]) {
            lane?.takeBack(stream, rest, session)
        }
    }

    private final class Waiting {
        var visitor: WaitingVisitor?
        let claim: Claim
        var timer: LoopTimer?
        init(_ visitor: consuming WaitingVisitor) {
            claim = visitor.claim
            self.visitor = consume visitor
        }
    }

    private final class Pool {
        let key: NodeKey
        /// Where the session comes from.
        let source: HostAddress?
        var ready: [ReadyChannel] = []
        /// Channels whose visitor has gone at this end, until the peer says that it is through with him too.
        var returning: [ObjectIdentifier: ReadyChannel] = [:]
        var waiting: [Waiting] = []
        var demand: ChannelDemand
        /// Visitors on one of its channels.
        var carried = 0
        /// `nil`: its visitors are held to nothing.
        var quota: VisitorQuota?
        weak var member: Member?
        var membership: Grant.Membership?
        var surplus: Int { max(0, ready.count - demand.wanted) }
        init(key: NodeKey, from source: HostAddress?, _ quota: VisitorQuota?, groups: Int, at now: Instant) {
            self.key = key
            self.source = source
            self.quota = quota
            demand = ChannelDemand(groups: groups, at: now)
        }
    }

    /// The sessions of one membership on this lane.
    private final class Member {
        var pools: [SessionID: Pool] = [:]
        /// Channels that nobody uses.
        var idle: Int { pools.values.reduce(0) { $0 + $1.ready.count + $1.returning.count } }
        /// Of the ready ones, those that are not wanted either.
        var surplus: Int { pools.values.reduce(0) { $0 + $1.surplus } }
    }

    /// One visitor in some stage, so that it can be broken off.
    private struct Carried {
        let claim: Claim
        let session: SessionID
        let abort: () -> Void
    }

    /// More than this wait for a channel of one session: the rest is turned away.
    private static let maximumWaiting = 2_048
    private static let waitingLimit = Instant.Span.seconds(10)
    /// How long a channel is waited for whose visitor has gone.
    private static let returnLimit = Instant.Span.seconds(60)
    /// Channels that go at once where descriptors are short.
    private static let shedding = 16

    let loop: EventLoop
    private var pools: [SessionID: Pool] = [:]
    private var members: [Grant.Membership: Member] = [:]
    /// Nothing was left to shed; looked for anew with the next tick.
    private var hasShedAll = false
    /// By how many ports each is after its claim's first one.
    private var accepting: [Claim: [UInt16: Listener]] = [:]
    private var carried: [ObjectIdentifier: Carried] = [:]
    private var visits: [ObjectIdentifier: Visit] = [:]
    private var counters: [Claim: TrafficCounters] = [:]
    private var nextVisitor: UInt64 = 1
    private var nextTurn = 0
    private let policy: VisitorPolicy
    private let wantChannels: @Sendable (SessionID, Int) -> Void
    private let ranShort: @Sendable (UInt64) -> Void
    /// Refused for want of descriptors, and not told yet.
    private var short: UInt64 = 0

    /// - Parameters:
    ///   - policy: this lane's share of it.
    ///   - ranShort: told once a tick how many were refused for want of descriptors, if any.
    init(
        on loop: EventLoop, policy: VisitorPolicy, wantChannels: @escaping @Sendable (SessionID, Int) -> Void,
        ranShort: @escaping @Sendable (UInt64) -> Void
    ) {
        self.loop = loop
        self.policy = policy
        self.wantChannels = wantChannels
        self.ranShort = ranShort
    }

    // MARK: Sessions and channels

    /// - Parameter groups: that the session has, on as many lanes.
    func open(
        _ session: SessionID, key: NodeKey, from source: HostAddress?, of membership: Grant.Membership,
        _ quota: VisitorQuota?, groups: Int
    ) {
        let pool = Pool(key: key, from: source, quota, groups: groups, at: loop.now)
        pools[session] = pool
        count(pool, session, to: membership)
    }

    private func count(_ pool: Pool, _ session: SessionID, to membership: Grant.Membership) {
        let member = members[membership] ?? Member()
        members[membership] = member
        member.pools[session] = pool
        pool.member = member
        pool.membership = membership
    }

    private func discount(_ pool: Pool, _ session: SessionID) {
        guard let membership = pool.membership, let member = members[membership] else { return }
        member.pools[session] = nil
        if member.pools.isEmpty { members[membership] = nil }
    }

    /// What its membership allows has changed, or it is another one; visitors under way are held to it from now on.
    func change(_ session: SessionID, to membership: Grant.Membership, _ quota: VisitorQuota?) {
        guard let pool = pools[session] else { return }
        discount(pool, session)
        count(pool, session, to: membership)
        pool.quota = quota
        let allowance = quota?.allowance
        for visit in visits.values where visit.claim.key == pool.key { visit.allowance = allowance }
    }

    /// Its ready channels go and its waiting visitors are turned away, also those of whom the peer has not said, or its
    /// machine not even acknowledged, that it knows of them: the way there is most likely gone. Visitors under way keep
    /// their own streams.
    func close(_ session: SessionID) {
        for carried in carried.values where carried.session == session { carried.abort() }
        for visit in visits.values where visit.session == session && visit.isUnheard { visit.abort() }
        guard let pool = pools.removeValue(forKey: session) else { return }
        discount(pool, session)
        for channel in pool.ready { channel.close() }
        for channel in pool.returning.values { channel.close() }
        for waiting in pool.waiting { turnAway(waiting) }
    }

    func add(_ stream: consuming Stream, to session: SessionID, isRegistered: Bool) {
        guard let pool = pools[session] else { return }
        keep(stream, pool, session, isRegistered: isRegistered)
    }

    /// A visitor has gone at this end. The channel may be used again when the peer says so: the target may be slow to
    /// take the last of what he sent, and nobody should stand in line behind that.
    private func takeBack(_ stream: consuming Stream?, _ rest: [UInt8], _ session: SessionID) {
        guard let pool = pools[session], let stream = consume stream else { return }
        if rest == ChannelFrame.ready { return keepAgain(stream, pool, session) }
        guard pool.returning.count < ChannelDemand.maximumKept, rest.count < ChannelFrame.ready.count,
            admitsChannel(of: pool, load(with: stream))
        else { return }
        let channel = try? ReadyChannel(
            on: loop, stream, isRegistered: true, read: rest, expecting: ChannelFrame.ready.count,
            isPossible: ChannelFrame.ready.starts(with:)
        ) { [weak self, weak pool] channel, word in
            pool?.returning[ObjectIdentifier(channel)] = nil
            guard let self, let pool, word == ChannelFrame.ready, let stream = channel.takeStream() else {
                return channel.close()
            }
            keepAgain(stream, pool, session)
        }
        if let channel { pool.returning[ObjectIdentifier(channel)] = channel }
    }

    /// It was heard of just now.
    private func keepAgain(_ stream: consuming Stream, _ pool: Pool, _ session: SessionID) {
        guard pools[session] === pool else { return }
        keep(stream, pool, session, isRegistered: true)
    }

    private func keep(_ stream: consuming Stream, _ pool: Pool, _ session: SessionID, isRegistered: Bool) {
        guard pool.ready.count < pool.demand.kept, admitsChannel(of: pool, load(with: stream)) else { return }
        let channel = try? ReadyChannel(on: loop, stream, isRegistered: isRegistered, expecting: 0) {
            [weak pool] channel, _ in pool?.ready.removeAll { $0 === channel }
        }
        guard let channel else { return }
        pool.ready.append(channel)
        while let waiting = pool.waiting.first {
            pool.waiting.removeFirst()
            waiting.timer?.cancel()
            guard let visitor = waiting.visitor.take() else { continue }
            carry(visitor, session)
            if pool.waiting.isEmpty { lookAtDemand(pool, session) }
            return
        }
    }

    /// What is wanted takes the place of what is not.
    private func admitsChannel(of pool: Pool, _ load: ReserveGate.Load) -> Bool {
        // Nearly always: each visitor's channel comes back here, and counting takes as long as a membership has
        // sessions.
        if policy.reserve.hasPlenty(at: load) { return true }
        guard pool.ready.count < pool.demand.wanted else {
            return policy.reserve.admits(.channel(idle: (pool.member?.idle ?? 0) * policy.lanes), at: load)
        }
        return policy.reserve.admits(.channel(idle: 0), at: load)
            || policy.reserve.admits(.channel(idle: 0), at: loadAfterShedding(load))
    }

    /// Where descriptors are short, closes channels that nobody uses or wants: the oldest ones of the membership that
    /// has most of them on this lane.
    private func loadAfterShedding(_ load: ReserveGate.Load) -> ReserveGate.Load {
        guard !hasShedAll, policy.reserve.isShortOfDescriptors(at: load) else { return load }
        let most = members.values.map { (member: $0, surplus: $0.surplus) }.max { $0.surplus < $1.surplus }
        guard let most, most.surplus > 0 else {
            hasShedAll = true
            return load
        }
        for _ in 0..<Self.shedding {
            let pools = most.member.pools.values.filter { $0.surplus > 0 }
            guard let pool = pools.max(by: { $0.ready[0].age < $1.ready[0].age }) else { break }
            pool.ready.removeFirst().close()
        }
        // Who came got a high number, and lower ones are free by now.
        return ReserveGate.Load(descriptors: Descriptor.openCount, buffered: load.buffered)
    }

    private func lookAtDemand(_ pool: Pool, _ session: SessionID) {
        guard pool.demand.look(waiting: pool.waiting.count, carried: pool.carried) else { return }
        wantChannels(session, pool.demand.wanted)
    }

    /// Closes what nobody needed for a while. That is decided here: the relay knows which channel it is about to use.
    private func trim(_ pool: Pool) {
        let unused = pool.demand.unused(ready: pool.ready.count, at: loop.now)
        guard unused > 0 else { return }
        // The oldest ones.
        for channel in pool.ready.prefix(unused) { channel.close() }
        pool.ready.removeFirst(unused)
    }

    func timePassed() {
        hasShedAll = false
        for (session, pool) in pools {
            dropLost(pool)
            lookAtDemand(pool, session)
            trim(pool)
        }
        for (_, listener) in accepting.values.joined() { short += listener.takeTurnedAway() }
        if short > 0 { ranShort(short) }
        short = 0
    }

    /// Channels on which the peer is busy with the last visitor's bytes for so long that another one is as good.
    private func dropLost(_ pool: Pool) {
        for (id, channel) in pool.returning where channel.age > Self.returnLimit {
            pool.returning[id] = nil
            channel.close()
        }
    }

    // MARK: Public ports

    /// - Parameters:
    ///   - listeners: each with how many ports it is after the first one.
    ///   - isAll: no others of the claim accept any more.
    ///   - filter: whom the mapping lets in, of those that the relay lets in.
    ///   - others: the session's other lanes. Visitors are dealt out in turn, and not by who is least busy: what a
    ///     visitor will need is known of nobody who has just come.
    func listen(
        _ claim: Claim, _ listeners: [(offset: UInt16, listener: Listener)], isAll: Bool, for session: SessionID,
        _ filter: NetworkFilter, others: [@Sendable (StreamParcel, AcceptedVisitor) -> Void]
    ) {
        if isAll { pause(claim) }
        for (offset, listener) in listeners {
            accepting[claim, default: [:]][offset] = listener
            do throws(SystemError) {
                try listener.accept(on: loop) { [weak self] stream, address in
                    guard let self else { return }
                    let accepted = AcceptedVisitor(
                        address: address, claim: claim, offset: offset, session: session, filter: filter)
                    nextTurn = (nextTurn + 1) % (others.count + 1)
                    guard nextTurn > 0 else { return came(stream, accepted) }
                    others[nextTurn - 1](StreamParcel(stream), accepted)
                }
            } catch {
                // A port that nobody accepts on must refuse.
                listener.pause()
            }
        }
    }

    func pause(_ claim: Claim, _ only: Set<UInt16>? = nil) {
        guard let only else {
            for (_, listener) in accepting.removeValue(forKey: claim) ?? [:] { listener.stopAccepting() }
            return
        }
        for offset in only { accepting[claim]?.removeValue(forKey: offset)?.stopAccepting() }
    }

    func abortVisitors(of key: NodeKey) { abort { $0.key == key } }
    func abortVisitors(of claim: Claim) {
        abort { $0 == claim }
        counters[claim] = nil
    }

    private func abort(_ isMeant: (Claim) -> Bool) {
        for pool in pools.values {
            let meant = pool.waiting.filter { isMeant($0.claim) }
            pool.waiting.removeAll { isMeant($0.claim) }
            for waiting in meant { turnAway(waiting) }
        }
        for (_, carried) in carried where isMeant(carried.claim) { carried.abort() }
        for visit in visits.values where isMeant(visit.claim) { visit.abort() }
    }

    /// Counters of all claims, with what is under way.
    func traffic() -> [Claim: TrafficCounters] {
        var all = counters
        for visit in visits.values {
            all[visit.claim, default: TrafficCounters()].bytesFromVisitors += visit.bytesLeftToRight
            all[visit.claim, default: TrafficCounters()].bytesToVisitors += visit.bytesRightToLeft
        }
        return all
    }

    // MARK: Visitors

    /// A visitor was dealt to this lane.
    func came(_ stream: consuming Stream, _ accepted: AcceptedVisitor) {
        let (address, claim, session) = (accepted.address, accepted.claim, accepted.session)
        counters[claim, default: TrafficCounters()].connections += 1
        let carried = counters[claim]?.open ?? 0
        guard let pool = pools[session] else { return refuse(claim) }
        let load = loadAfterShedding(load(with: stream))
        guard policy.reserve.admits(.visitor(carried: carried), at: load) else {
            if policy.reserve.isShortOfDescriptors(at: load) { short += 1 }
            return refuse(claim)
        }
        let isAdmitted = admits(address, accepted.filter)
        // The peer's own check of a mapping that is for others.
        guard isAdmitted || pool.source != nil && HostAddress(bytes: address.hostBytes) == pool.source else {
            return refuse(claim)
        }
        var slot: VisitorQuota.Slot?
        if let quota = pool.quota {
            guard let given = quota.admit(at: loop.now) else { return refuse(claim) }
            slot = given
        }
        let visitor = WaitingVisitor(
            stream: stream, address: address, claim: claim, offset: accepted.offset, isCheckOnly: !isAdmitted,
            slot: slot)
        carry(visitor, session)
    }

    private func admits(_ address: SocketAddress, _ filter: NetworkFilter) -> Bool {
        guard !filter.isForEverybody || !policy.filter.isForEverybody else { return true }
        guard let host = HostAddress(bytes: address.hostBytes) else { return false }
        return filter.admits(host, and: policy.filter)
    }

    /// His stream goes with that, and is reset.
    private func refuse(_ claim: Claim) { counters[claim, default: TrafficCounters()].refused += 1 }

    private func load(with stream: borrowing Stream) -> ReserveGate.Load {
        ReserveGate.Load(descriptors: stream.openDescriptors, buffered: loop.buffered)
    }

    private func carry(_ visitor: consuming WaitingVisitor, _ session: SessionID) {
        guard let pool = pools[session] else { return }
        var start = VisitorStart(
            mapping: visitor.claim.mapping, portOffset: visitor.offset, visitor: nextVisitor, wantsAnswer: false,
            isCheckOnly: visitor.isCheckOnly, address: visitor.address.visitorAddress)
        guard let (channel, isFresh) = takeChannel(pool, &start) else { return wait(visitor, pool, session) }
        nextVisitor += 1
        pool.carried += 1
        pool.demand.taken(left: pool.ready.count, carried: pool.carried)
        let context = VisitContext(
            claim: visitor.claim, session: session, slot: visitor.slot, allowance: pool.quota?.allowance)
        guard isFresh else { return carryWithProof(visitor, context, channel, start) }
        guard let stream = channel.takeStream() else { return }
        forward(context, visitor.into(), stream, isVisitorRegistered: false, early: start.bytes)
    }

    /// The youngest channel that is not dead.
    private func takeChannel(_ pool: Pool, _ start: inout VisitorStart) -> (ReadyChannel, isFresh: Bool)? {
        while let channel = pool.ready.popLast() {
            switch channel.liveness {
            case .fresh: return (channel, true)
            case .likely:
                start.wantsAnswer = true
                return (channel, false)
            case .stale: channel.close()
            }
        }
        return nil
    }

    private func carryWithProof(
        _ visitor: consuming WaitingVisitor, _ context: VisitContext, _ channel: ReadyChannel, _ start: VisitorStart
    ) {
        let (claim, session) = (context.claim, context.session)
        var pending: PendingVisitor?
        let settled: (consuming PendingVisitor.Outcome) -> Void = { [weak self] outcome in
            if let pending { self?.carried[ObjectIdentifier(pending)] = nil }
            pending = nil
            switch consume outcome {
            case .answered(let visitor, let channel, let unsent):
                self?.forward(context, visitor, channel, isVisitorRegistered: true, early: unsent)
            case .failed:
                self?.counters[claim, default: TrafficCounters()].failed += 1
                self?.pools[session]?.carried -= 1
            }
        }
        let attempt = PendingVisitor(
            on: loop, visitor: visitor.into(), announcement: start.bytes, answer: ChannelFrame.alive,
            onNeed: { [weak self] in
                guard let pool = self?.pools[session], let pending else { return }
                var start = start
                guard let (channel, _) = self?.takeChannel(pool, &start), let stream = channel.takeStream() else {
                    // He waits too, though not in line.
                    if pool.demand.look(waiting: pool.waiting.count + 1, carried: pool.carried) {
                        self?.wantChannels(session, pool.demand.wanted)
                    }
                    return
                }
                pending.add(stream)
            }, onSettled: settled)
        pending = attempt
        carried[ObjectIdentifier(attempt)] = Carried(claim: claim, session: session) { attempt.abort() }
        attempt.start()
        if let stream = channel.takeStream() { attempt.add(stream) }
    }

    private func forward(
        _ context: VisitContext, _ visitor: consuming Stream, _ channel: consuming Stream, isVisitorRegistered: Bool,
        early: [UInt8]
    ) {
        counters[context.claim, default: TrafficCounters()].open += 1
        let visit = Visit(on: self, context, visitor, channel, early: early)
        visit.useFrames(on: .right)
        visits[ObjectIdentifier(visit)] = visit
        visit.start(isLeftRegistered: isVisitorRegistered, isRightRegistered: true)
    }

    private func ended(_ visit: Visit) {
        visits[ObjectIdentifier(visit)] = nil
        pools[visit.session]?.carried -= 1
        counters[visit.claim, default: TrafficCounters()].open -= 1
        if visit.wasCheck {
            let counted = counters[visit.claim]?.connections ?? 0
            counters[visit.claim]?.connections = counted - min(counted, 1)
            return
        }
        counters[visit.claim, default: TrafficCounters()].bytesFromVisitors += visit.bytesLeftToRight
        counters[visit.claim, default: TrafficCounters()].bytesToVisitors += visit.bytesRightToLeft
    }

    private func wait(_ visitor: consuming WaitingVisitor, _ pool: Pool, _ session: SessionID) {
        let waiting = Waiting(visitor)
        guard pool.waiting.count < Self.maximumWaiting else { return turnAway(waiting) }
        waiting.timer = loop.schedule(after: Self.waitingLimit) { [weak self, weak pool] in
            pool?.waiting.removeAll { $0 === waiting }
            self?.turnAway(waiting)
        }
        pool.waiting.append(waiting)
        lookAtDemand(pool, session)
    }

    private func turnAway(_ waiting: Waiting) {
        waiting.timer?.cancel()
        waiting.visitor = nil
        counters[waiting.claim, default: TrafficCounters()].failed += 1
    }
}
