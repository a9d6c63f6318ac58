package import PeerCore
package import PeerReactor
package import PeerWire

/// Where a peer's visitors come in: the data channels that it dials to its relays.
///
/// 1. Channels are dialled and proven until as many are ready as the relay wants.
/// 2. The relay's word on one names the mapping and the visitor; another channel is dialled in its place.
/// 3. When the visitor has gone, the channel is ready once more. Most visitors are gone soon, so another one is dialled
///    in its place only after a while.
package final class DialledChannels: Frontend, ChannelOwner {
    private struct VisitorName: Hashable {
        var group: ChannelGroup
        var visitor: UInt64
    }

    private static let dialLimit = Instant.Span.seconds(5)
    /// A channel that was taken is expected back for so long.
    private static let returnPatience = Instant.Span.milliseconds(20)
    private static let rememberedVisitors = 4_096

    private weak var lane: Lane?
    private let loop: EventLoop
    private let carriers: Carriers
    private let routes: RouteTable
    private let share: DescriptorShare
    private let report: @Sendable (PeerLane.Report) -> Void
    private var pools: [ChannelGroup: DialledPool] = [:]
    /// Visitors that came with the request for an answer, so that a second announcement is told from the first.
    private var seen: Set<VisitorName> = []
    private var seenOrder: [VisitorName] = []

    package init(
        on lane: Lane, carriers: Carriers, routes: RouteTable, share: DescriptorShare,
        report: @escaping @Sendable (PeerLane.Report) -> Void
    ) {
        self.lane = lane
        loop = lane.loop
        self.carriers = carriers
        self.routes = routes
        self.share = share
        self.report = report
        share.dialled = self
    }

    // MARK: Sessions

    package func begin(_ terms: SessionTerms, group number: UInt8, at addresses: [SocketAddress], wanted: Int) {
        let group = ChannelGroup(session: terms.session, number: number)
        let pool = DialledPool(terms: terms, group: group, addresses: addresses, wanted: wanted)
        pools[group] = pool
        refill(pool)
    }

    /// The group's ready channels go. Visits keep their own streams.
    package func end(_ group: ChannelGroup) { pools.removeValue(forKey: group)?.close() }

    /// Too many are closed by the relay: it knows which one it is about to use.
    package func want(_ count: Int, for group: ChannelGroup) {
        guard let pool = pools[group] else { return }
        pool.wanted = min(count, ChannelDemand.maximum)
        refill(pool)
    }

    /// Channels to a relay, ready or on their way.
    func count(to relay: NodeKey) -> Int {
        pools.values.reduce(0) { $1.terms.key == relay ? $0 + $1.channels.count + $1.dialling.count : $0 }
    }

    // MARK: Ready channels

    private func refill(_ pool: DialledPool) {
        guard pools[pool.group] === pool else { return }
        while pool.isToDial { dial(pool) }
    }

    private func dial(_ pool: DialledPool) {
        let purpose = pool.nextPurpose()
        guard let carrier = carriers.carrier(for: purpose) else { return pause(pool) }
        var dial = Dial(
            to: pool.addresses, for: purpose, connectLimit: Self.dialLimit, proofLimit: Self.dialLimit)
        dial.onReached = { [weak self, weak pool] stream in
            guard let self, let pool else { return false }
            return share.hasRoom(for: pool.terms.key, stream.openDescriptors - 1)
        }
        var own: ObjectIdentifier?
        let attempt = carrier.dial(dial, on: loop) { [weak self, weak pool] outcome in
            guard let self, let pool else { return }
            if let own { pool.dialling[own] = nil }
            dialled(pool, outcome)
        }
        own = ObjectIdentifier(attempt)
        pool.dialling[ObjectIdentifier(attempt)] = attempt
    }

    private func dialled(_ pool: DialledPool, _ outcome: consuming Dialled) {
        switch consume outcome {
        case .proven(let stream, let isRegistered, _, _):
            keep(pool, stream, isRegistered: isRegistered, isNew: true)
            refill(pool)
        case .notReached(let error):
            if error.isOutOfDescriptors { report(.ranShort) }
            // Other errors are this node's own.
            if error.isRefused || error.isTimedOut { channelFailed(pool) }
            pause(pool)
        case .noRoom:
            report(.ranShort)
            pause(pool)
        case .notProven:
            if !pool.terms.protection.isPlain { channelFailed(pool) }
            pause(pool)
        }
    }

    private func pause(_ pool: DialledPool) {
        guard let span = pool.pause(at: loop.now) else { return }
        loop.schedule(after: span) { [weak self, weak pool] in
            guard let pool else { return }
            pool.pauseIsOver()
            self?.refill(pool)
        }
    }

    private func keep(_ pool: DialledPool, _ stream: consuming Stream, isRegistered: Bool, isNew: Bool = false) {
        let channel = try? ReadyChannel(
            on: loop, stream, isRegistered: isRegistered, expecting: ReadyChannel.Word(of: ChannelMachine(.listener))
        ) { [weak self, weak pool] channel, word in
            guard let self, let pool else { return }
            let isSteady = pool.isSteady(channel, at: loop.now)
            pool.isGone(channel)
            if let word, let start = VisitorStart(word), let stream = channel.takeStream() {
                return taken(pool, start, stream)
            }
            channel.close()
            // The relay closes those that it has too many of.
            guard pool.channels.count < pool.wanted else { return }
            if !isSteady { channelFailed(pool) }
            // A channel that breaks as soon as it is made would otherwise be redialled in a tight circle.
            pause(pool)
        }
        guard let channel else { return }
        pool.channels.append(channel)
        if isNew { watch(channel, of: pool) }
    }

    private func watch(_ channel: ReadyChannel, of pool: DialledPool) {
        pool.isNew(channel, at: loop.now)
        guard pool.isInTrouble else { return }
        loop.schedule(after: DialledPool.steady) { [weak self, weak pool, weak channel] in
            guard let self, let pool, let channel, pool.channels.contains(where: { $0 === channel }) else { return }
            channelStands(pool)
        }
    }

    private func channelFailed(_ pool: DialledPool) {
        guard pools[pool.group] === pool, !pool.channels.contains(where: { pool.isSteady($0, at: loop.now) }) else {
            return
        }
        pool.isInTrouble = true
        report(.channelFailed(pool.group))
    }

    private func channelStands(_ pool: DialledPool) {
        guard pool.isInTrouble else { return }
        pool.isInTrouble = false
        report(.channelStands(pool.group))
    }

    /// Counts on a channel's return for a while.
    private func expectBack(_ pool: DialledPool) {
        pool.recentlyTaken += 1
        guard !pool.isTicking else { return }
        pool.isTicking = true
        loop.schedule(after: Self.returnPatience) { [weak self, weak pool] in
            guard let pool else { return }
            pool.isTicking = false
            pool.tick &+= 1
            pool.recentlyTaken = 0
            self?.refill(pool)
        }
    }

    package func takeBack(_ stream: consuming Stream?, _ rest: [UInt8], _ loan: ChannelLoan) {
        guard let pool = pools[loan.group] else { return }
        if pool.tick == loan.tick { pool.recentlyTaken -= 1 }
        // The relay has nothing to say before it knows that this end is through.
        guard rest.isEmpty, let stream = consume stream else { return refill(pool) }
        keep(pool, stream, isRegistered: true)
    }

    /// A visitor that came by this channel found no descriptor here. The next channels come after a while: a relay that
    /// sends a visitor on each as soon as it is there would have them dialled without a pause.
    func ranShort(_ loan: ChannelLoan) {
        report(.ranShort)
        if let pool = pools[loan.group] { pause(pool) }
    }

    // MARK: Calls

    private func taken(_ pool: DialledPool, _ start: VisitorStart, _ channel: consuming Stream) {
        pool.forgetPauses()
        channelStands(pool)
        let loan = ChannelLoan(from: self, group: pool.group, node: pool.terms.key, tick: pool.tick)
        expectBack(pool)
        guard let lane, let route = routes[start.mapping] else { return takeBack(nil, [], loan) }
        if start.wantsAnswer {
            guard remember(VisitorName(group: pool.group, visitor: start.visitor)),
                channel.sendAtOnce(ChannelFrame.alive)
            else { return takeBack(nil, [], loan) }
        }
        var terms = Call.Terms(
            to: .own(start.mapping), portOffset: start.portOffset, caller: start.isCheckOnly ? .checker : .visitor)
        terms.session = pool.group.session
        terms.loan = loan
        if route.proxyProtocol != .off { terms.visitor = start.address }
        lane.take(Call(channel, terms))
    }

    /// `false` when this visitor came before.
    private func remember(_ name: VisitorName) -> Bool {
        guard seen.insert(name).inserted else { return false }
        seenOrder.append(name)
        if seenOrder.count > Self.rememberedVisitors {
            for old in seenOrder.prefix(Self.rememberedVisitors / 2) { seen.remove(old) }
            seenOrder.removeFirst(Self.rememberedVisitors / 2)
        }
        return true
    }
}
