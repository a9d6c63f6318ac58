package import PeerCore
package import PeerReactor
package import PeerWire

/// The relay's way out: calls to a peer's mapping leave by a ready data channel of the peer's session.
///
/// 1. A ready channel of the session is taken. If there is none, the call waits and the peer is asked for more.
/// 2. The channel is told of the visitor. A channel that was heard of just now carries it at once; one that idled must
///    prove that it lives first (`PendingVisitor`).
/// 3. When the visitor has come to its end at both sides, the channel is the youngest ready one (`ChannelFrame`).
package final class ChannelPools: Egress, ChannelOwner, SessionDirectory {
    package static let name = EgressName(rawValue: "channels")

    /// A call on its way, while its channel proves that it lives.
    private struct Pending {
        let terms: Call.Terms
        let visitor: PendingVisitor
    }

    /// More than this wait for a channel of one session: the rest is turned away.
    private static let maximumWaiting = 2_048
    private static let waitingLimit = Instant.Span.seconds(10)

    package let offer = Router.Offer(name, to: .claim, for: [.visitor, .checker])
    private weak var lane: Lane?
    private let loop: EventLoop
    private let policy: VisitorPolicy
    private let wantChannels: @Sendable (SessionID, Int) -> Void
    private var pools: [SessionID: ChannelPool] = [:]
    private var memberships = MembershipPools()
    private var pending: [ObjectIdentifier: Pending] = [:]
    private var nextVisitor: UInt64 = 1

    /// - Parameters:
    ///   - policy: this lane's share of it.
    ///   - wantChannels: tells a session's peer how many channels are to be ready.
    package init(
        on lane: Lane, policy: VisitorPolicy, wantChannels: @escaping @Sendable (SessionID, Int) -> Void
    ) {
        self.lane = lane
        loop = lane.loop
        self.policy = policy
        self.wantChannels = wantChannels
    }

    // MARK: Sessions

    /// - Parameter groups: that the session has, on as many lanes.
    package func begin(
        _ session: SessionID, key: NodeKey, from source: HostAddress?, of membership: Grant.Membership,
        _ quota: VisitorQuota?, groups: Int
    ) {
        let pool = ChannelPool(of: session, key: key, from: source, quota, groups: groups, at: loop.now)
        pools[session] = pool
        memberships.add(pool, to: membership)
    }

    /// What the session's membership allows has changed, or it is another one. Visits are held to it from now on.
    package func change(_ session: SessionID, to membership: Grant.Membership, _ quota: VisitorQuota?) {
        guard let pool = pools[session] else { return }
        memberships.remove(pool)
        memberships.add(pool, to: membership)
        pool.quota = quota
        let allowance = quota?.allowance
        lane?.eachVisit { visit in
            if case .claim(let claim) = visit.destination, claim.key == pool.key { visit.allowance = allowance }
        }
    }

    /// The session's ready channels go and its waiting calls are turned away. So are visits of which the peer has not
    /// said, or its machine not even acknowledged, that it knows of them: the way there is most likely gone. Other
    /// visits keep their own streams.
    package func end(_ session: SessionID) {
        for pending in pending.values where pending.terms.session == session { pending.visitor.abort() }
        lane?.abortVisits { $0.loan.group.session == session && $0.isUnheard }
        guard let pool = pools.removeValue(forKey: session) else { return }
        memberships.remove(pool)
        pool.close()
        for waiting in pool.waiting { turnAway(waiting) }
    }

    package func terms(of session: SessionID) -> (source: HostAddress?, quota: VisitorQuota?)? {
        pools[session].map { ($0.source, $0.quota) }
    }

    // MARK: Channels

    /// A new channel of a session.
    package func add(_ stream: consuming Stream, to session: SessionID, isRegistered: Bool) {
        guard let pool = pools[session] else { return }
        keep(stream, pool, isRegistered: isRegistered)
    }

    /// A visitor has gone at this end. The channel may be used again when the peer says so: the target may be slow to
    /// take the last of what the visitor sent, and nobody should stand in line behind that.
    package func takeBack(_ stream: consuming Stream?, _ rest: [UInt8], _ loan: ChannelLoan) {
        guard let pool = pools[loan.group.session], let stream = consume stream else { return }
        if rest == ChannelFrame.ready { return keep(stream, pool, isRegistered: true) }
        guard pool.returning.count < ChannelDemand.maximumKept, rest.count < ChannelFrame.ready.count,
            admitsChannel(of: pool, stream)
        else { return }
        let channel = try? ReadyChannel(
            on: loop, stream, isRegistered: true, read: rest,
            expecting: ReadyChannel.Word(of: ChannelMachine(.announcer, .returning))
        ) { [weak self, weak pool] channel, word in
            pool?.returning[ObjectIdentifier(channel)] = nil
            guard let self, let pool, word == ChannelFrame.ready, let stream = channel.takeStream(),
                pools[pool.session] === pool
            else { return channel.close() }
            keep(stream, pool, isRegistered: true)
        }
        if let channel { pool.returning[ObjectIdentifier(channel)] = channel }
    }

    private func keep(_ stream: consuming Stream, _ pool: ChannelPool, isRegistered: Bool) {
        guard pool.ready.count < pool.demand.kept, admitsChannel(of: pool, stream) else { return }
        let channel = try? ReadyChannel(
            on: loop, stream, isRegistered: isRegistered, expecting: ReadyChannel.Word(of: ChannelMachine(.announcer))
        ) { [weak pool] channel, _ in pool?.ready.removeAll { $0 === channel } }
        guard let channel else { return }
        pool.ready.append(channel)
        guard let call = pool.nextCall() else { return }
        take(call)
        if pool.waiting.isEmpty { lookAtDemand(pool) }
    }

    /// What is wanted takes the place of what is not.
    private func admitsChannel(of pool: ChannelPool, _ stream: borrowing Stream) -> Bool {
        let load = ReserveGate.Load(descriptors: stream.openDescriptors, buffered: loop.buffered)
        // Nearly always: each visitor's channel comes back here, and counting takes as long as a membership has
        // sessions.
        if policy.reserve.hasPlenty(at: load) { return true }
        guard pool.ready.count < pool.demand.wanted else {
            return policy.reserve.admits(.channel(idle: (pool.member?.idle ?? 0) * policy.lanes), at: load)
        }
        return policy.reserve.admits(.channel(idle: 0), at: load)
            || policy.reserve.admits(.channel(idle: 0), at: memberships.shed(policy.reserve, at: load))
    }

    package func load(with stream: borrowing Stream) -> ReserveGate.Load {
        let load = ReserveGate.Load(descriptors: stream.openDescriptors, buffered: loop.buffered)
        return memberships.shed(policy.reserve, at: load)
    }

    private func lookAtDemand(_ pool: ChannelPool, alsoWaiting others: Int = 0) {
        guard pool.demand.look(waiting: pool.waiting.count + others, carried: pool.carried) else { return }
        wantChannels(pool.session, pool.demand.wanted)
    }

    package func timePassed() {
        memberships.timePassed()
        for pool in pools.values {
            lookAtDemand(pool)
            pool.trim(at: loop.now)
        }
    }

    // MARK: Calls

    package func take(_ call: consuming Call) {
        guard let session = call.terms.session, let pool = pools[session],
            case .claim(let claim) = call.terms.destination, let source = call.terms.source
        else { return }
        var start = VisitorStart(
            mapping: claim.mapping, portOffset: call.terms.portOffset, visitor: nextVisitor, wantsAnswer: false,
            isCheckOnly: call.terms.caller == .checker, address: source.visitorAddress)
        guard let (channel, isFresh) = pool.takeChannel(&start) else { return wait(call, pool) }
        nextVisitor += 1
        pool.carried += 1
        pool.demand.taken(left: pool.ready.count, carried: pool.carried)
        guard isFresh else { return takeWithProof(call, pool, channel, start) }
        guard let stream = channel.takeStream() else { return }
        let terms = call.terms
        visit(terms, pool, call.intoStream(), stream, early: start.bytes, isRegistered: false)
    }

    private func takeWithProof(
        _ call: consuming Call, _ pool: ChannelPool, _ channel: ReadyChannel, _ start: VisitorStart
    ) {
        let terms = call.terms
        var own: PendingVisitor?
        let visitor = PendingVisitor(
            on: loop, visitor: call.intoStream(), announcement: start.bytes,
            onNeed: { [weak self, weak pool] in
                guard let self, let pool, pools[pool.session] === pool, let own else { return }
                var start = start
                guard let (channel, _) = pool.takeChannel(&start), let stream = channel.takeStream() else {
                    // The call waits too, though not in line.
                    return lookAtDemand(pool, alsoWaiting: 1)
                }
                own.add(stream)
            },
            onSettled: { [weak self, weak pool] outcome in
                if let own { self?.pending[ObjectIdentifier(own)] = nil }
                own = nil
                switch consume outcome {
                case .answered(let visitor, let channel, let unsent):
                    guard let pool else { return }
                    self?.visit(terms, pool, visitor, channel, early: unsent, isRegistered: true)
                case .failed:
                    self?.lane?.count(terms.destination) { $0.failed += 1 }
                    pool?.carried -= 1
                }
            })
        own = visitor
        pending[ObjectIdentifier(visitor)] = Pending(terms: terms, visitor: visitor)
        visitor.start()
        if let stream = channel.takeStream() { visitor.add(stream) }
    }

    private func visit(
        _ terms: Call.Terms, _ pool: ChannelPool, _ visitor: consuming Stream, _ channel: consuming Stream,
        early: [UInt8], isRegistered: Bool
    ) {
        guard let lane else { return }
        var terms = terms
        // What the membership allows may have changed while the call was on its way.
        terms.allowance = pool.quota?.allowance
        let loan = ChannelLoan(from: self, group: ChannelGroup(session: pool.session, number: 0), node: pool.key)
        let visit = Visit(on: lane, terms, loan, by: self, Visit.Ends(caller: visitor, way: channel, early: early))
        lane.begin(visit, channel: .right, isLeftRegistered: isRegistered, isRightRegistered: true)
    }

    package func ended(_ visit: Visit, _ ending: Forwarder.Ending) {
        pools[visit.loan.group.session]?.carried -= 1
    }

    package func abort(_ isMeant: (Call.Terms) -> Bool) {
        for pool in pools.values {
            let meant = pool.waiting.filter { isMeant($0.terms) }
            pool.waiting.removeAll { waiting in meant.contains { $0 === waiting } }
            for waiting in meant { turnAway(waiting) }
        }
        for pending in pending.values where isMeant(pending.terms) { pending.visitor.abort() }
    }

    private func wait(_ call: consuming Call, _ pool: ChannelPool) {
        let waiting = ChannelPool.WaitingCall(call)
        guard pool.waiting.count < Self.maximumWaiting else { return turnAway(waiting) }
        waiting.timer = loop.schedule(after: Self.waitingLimit) { [weak self, weak pool] in
            pool?.waiting.removeAll { $0 === waiting }
            self?.turnAway(waiting)
        }
        pool.waiting.append(waiting)
        lookAtDemand(pool)
    }

    private func turnAway(_ waiting: ChannelPool.WaitingCall) {
        waiting.timer?.cancel()
        waiting.call = nil
        lane?.count(waiting.terms.destination) { $0.failed += 1 }
    }
}
