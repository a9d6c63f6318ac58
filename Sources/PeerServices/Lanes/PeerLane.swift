internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Where a mapping's visitors go, as a lane needs to know it.
struct Route: Sendable {
    /// The target's addresses for the first port, the best one first.
    var addresses: [SocketAddress]
    /// Where a port is found elsewhere, by how many it is after the first one.
    var hosts: [UInt16: SocketAddress.Host] = [:]
    /// How many ports from the first one on belong to it; a relay gets at no other.
    var count: Int
    /// What is known of the services behind the ports.
    var targets = TargetStates()
    /// Nonces that a check from outside is about to bring, and to which port, as above.
    var pendingChecks: [[UInt8]: UInt16] = [:]

    func isChecked(_ offset: UInt16) -> Bool { pendingChecks.values.contains(offset) }

    /// Where visitors of a port are taken; `nil` for a port that does not belong to it.
    func address(_ offset: UInt16) -> SocketAddress? {
        guard Int(offset) < count, let first = addresses.first else { return nil }
        let (port, isTooHigh) = first.port.addingReportingOverflow(offset)
        return isTooHigh ? nil : SocketAddress(host: hosts[offset] ?? first.host, port: port)
    }
}

/// The peer's data plane on one loop: ready channels to relays, and the visitors that come in over them.
///
/// 1. Channels are dialled and proven until as many are ready as the relay wants.
/// 2. The relay's word on one names the mapping and the visitor; another channel is dialled in its place.
/// 3. The target is dialled, and a `Forwarder` carries the bytes.
/// 4. When he has gone, the channel is ready once more. Most visitors are gone soon, so another one is dialled in its
///    place only after a while.
final class PeerLane {
    enum Report: Sendable {
        /// `port`: by how many it is after the first one.
        case targetFailed(MappingID, port: UInt16, String)
        /// A visitor, or a channel that one would come by, found no descriptor here.
        case ranShort
        /// A channel of a group was not to be had, or broke as soon as it was there, and none stands; or one does
        /// again.
        case channelFailed(ChannelGroup)
        case channelStands(ChannelGroup)
    }

    private final class Pool {
        let terms: SessionTerms
        let group: ChannelGroup
        let addresses: [SocketAddress]
        var wanted: Int
        var channels: [ReadyChannel] = []
        var dialling: [Connector] = []
        var securing: [ObjectIdentifier: TLSHandshake] = [:]
        var nextNumber: UInt64 = 1
        var isPausing = false
        /// Pauses in a row, and when the last one began.
        var pauses = 0
        var lastPause = Instant.zero
        /// Channels that were taken since the last tick and are not back.
        var recentlyTaken = 0
        var tick = 0
        var isTicking = false
        /// Channels that were dialled a moment ago, and when each was there.
        var young: [ObjectIdentifier: Instant] = [:]
        /// It was reported that channels fail.
        var isInTrouble = false

        func isSteady(_ channel: ReadyChannel, at now: Instant) -> Bool {
            young[ObjectIdentifier(channel)].map { now - $0 >= PeerLane.steady } ?? true
        }

        init(terms: SessionTerms, group: ChannelGroup, addresses: [SocketAddress], wanted: Int) {
            self.terms = terms
            self.group = group
            self.addresses = addresses
            self.wanted = wanted
        }
    }

    private static let dialLimit = Instant.Span.seconds(5)
    /// Doubled each time it is not the first one in a row, up to 4 s.
    private static let pauseAfterFailure = Instant.Span.milliseconds(500)
    private static let maximumDoublings = 3
    /// After so long without one it is the first one again.
    private static let calm = Instant.Span.seconds(30)
    /// At most so many connections to a relay are on their way at once.
    private static let maximumDialling = 64
    /// A channel that was taken is expected back for so long.
    private static let returnPatience = Instant.Span.milliseconds(20)
    /// A check's probe in the smallest frames that there are.
    private static let probeByteCount = ReachabilityCheck.probeByteCount * (1 + ChannelFrame.headerByteCount)
    /// How long a visitor's first bytes are awaited while a check is pending.
    private static let checkPatience = Instant.Span.milliseconds(300)
    private static let rememberedVisitors = 4_096
    /// A channel that is there for so long, or that a visitor came by, stands.
    private static let steady = Instant.Span.seconds(2)

    let loop: EventLoop
    /// Of this process: what is left of them is for sessions, commands and checks.
    private let descriptors: ReserveGate.Supply
    /// That share them.
    private let lanes: Int
    /// Visitors by the relay that they came from.
    private var carried: [NodeKey: Int] = [:]
    private let keys: KeyRing
    private var pools: [ChannelGroup: Pool] = [:]
    private var routes: [MappingID: Route] = [:]
    private var visits: [ObjectIdentifier: Visit] = [:]
    private var counters: [MappingID: TrafficCounters] = [:]
    /// Visitors that came with the request for an answer, so that a second announcement is told from the first.
    private var seen: Set<VisitorName> = []
    private var seenOrder: [VisitorName] = []
    private let report: @Sendable (Report) -> Void

    /// A visitor at his target.
    private final class Visit: Forwarder {
        private weak var lane: PeerLane?
        let mapping: MappingID
        /// By how many it is after the first one.
        let port: UInt16
        let taken: Taken

        init(
            on lane: PeerLane, _ channel: consuming Stream, to target: consuming Stream, _ mapping: MappingID,
            port: UInt16, _ taken: Taken
        ) {
            self.lane = lane
            self.mapping = mapping
            self.port = port
            self.taken = taken
            super.init(on: lane.loop, left: channel, right: target, isConnecting: true)
        }

        override func ended(_ ending: Ending) { lane?.ended(self, ending) }
        override func partedWithChannel(_ stream: consuming Stream?, _ rest: [UInt8]) {
            lane?.takeBack(stream, rest, taken)
        }
    }

    /// What is kept of a channel as long as a visitor is on it.
    private struct Taken {
        let group: ChannelGroup
        let relay: NodeKey
        /// When that was (`Pool.tick`).
        let tick: Int
    }

    /// A visitor on a channel, before it is connected to its target.
    private struct Arrival {
        let start: VisitorStart
        let taken: Taken
        /// What was read off the channel behind the start, while a check was pending.
        var input: [UInt8] = []
    }

    private struct VisitorName: Hashable {
        var group: ChannelGroup
        var visitor: UInt64
    }

    init(
        on loop: EventLoop, keys: KeyRing, descriptors: ReserveGate.Supply, lanes: Int,
        report: @escaping @Sendable (Report) -> Void
    ) {
        self.loop = loop
        self.descriptors = descriptors
        self.lanes = lanes
        self.keys = keys
        self.report = report
    }

    // MARK: Sessions

    func open(_ terms: SessionTerms, group number: UInt8, at addresses: [SocketAddress], wanted: Int) {
        let group = ChannelGroup(session: terms.session, number: number)
        let pool = Pool(terms: terms, group: group, addresses: addresses, wanted: wanted)
        pools[group] = pool
        refill(pool)
    }

    /// Its ready channels go; visitors under way keep their own streams.
    func close(_ group: ChannelGroup) {
        guard let pool = pools.removeValue(forKey: group) else { return }
        for connector in pool.dialling { connector.cancel() }
        for handshake in pool.securing.values { handshake.cancel() }
        for channel in pool.channels { channel.close() }
    }

    func want(_ count: Int, for group: ChannelGroup) {
        guard let pool = pools[group] else { return }
        pool.wanted = min(count, ChannelDemand.maximum)
        // Too many are closed by the relay: it knows which one it is about to use.
        refill(pool)
    }

    func setRoute(_ route: Route?, for mapping: MappingID) {
        routes[mapping] = route
        guard route == nil else { return }
        for visit in visits.values where visit.mapping == mapping { visit.abort() }
        counters[mapping] = nil
    }

    func traffic() -> [MappingID: TrafficCounters] {
        var all = counters
        for visit in visits.values {
            all[visit.mapping, default: TrafficCounters()].bytesFromVisitors += visit.bytesLeftToRight
            all[visit.mapping, default: TrafficCounters()].bytesToVisitors += visit.bytesRightToLeft
        }
        return all
    }

    // MARK: Ready channels

    private func refill(_ pool: Pool) {
        guard pools[pool.group] === pool, !pool.isPausing else { return }
        while !pool.isPausing,
            pool.channels.count + pool.dialling.count + pool.securing.count + pool.recentlyTaken < pool.wanted,
            pool.dialling.count + pool.securing.count < Self.maximumDialling
        {
            dial(pool)
        }
    }

    private func dial(_ pool: Pool) {
        var own: Connector?
        var isDone = false
        let connector = Connector(on: loop, to: pool.addresses, kind: .betweenNodes, limit: Self.dialLimit) {
            [weak self, weak pool] stream, error in
            isDone = true
            guard let self, let pool else { return }
            pool.dialling.removeAll { $0 === own }
            own = nil
            guard let stream = consume stream else {
                if error.isOutOfDescriptors { report(.ranShort) }
                // The others are this node's own.
                if error.isRefused || error.isTimedOut { channelFailed(pool) }
                return pause(pool)
            }
            guard hasRoom(for: pool.terms.key, stream.openDescriptors - 1) else {
                report(.ranShort)
                return pause(pool)
            }
            greet(pool, stream)
            refill(pool)
        }
        guard !isDone else { return }
        own = connector
        pool.dialling.append(connector)
    }

    /// Whether a relay may have one more descriptor, with this number: one takes only so many that the others have
    /// some.
    private func hasRoom(for relay: NodeKey, _ descriptor: Int) -> Bool {
        let ready = pools.values.reduce(0) { count, pool in
            pool.terms.key == relay ? count + pool.channels.count + pool.dialling.count + pool.securing.count : count
        }
        let held = ready + carried[relay, default: 0] * ReserveGate.descriptorsOfVisitor
        return descriptors.admits(descriptor, holding: held * lanes)
    }

    /// Once, however many of those on their way fail meanwhile.
    private func pause(_ pool: Pool) {
        guard !pool.isPausing else { return }
        pool.isPausing = true
        let now = loop.now
        if now - pool.lastPause > Self.calm { pool.pauses = 0 }
        pool.lastPause = now
        let span = Self.pauseAfterFailure * (1 << UInt64(min(pool.pauses, Self.maximumDoublings)))
        pool.pauses += 1
        loop.schedule(after: span) { [weak self, weak pool] in
            guard let pool else { return }
            pool.isPausing = false
            self?.refill(pool)
        }
    }

    /// Proves that the stream belongs to the session.
    private func greet(_ pool: Pool, _ stream: consuming Stream) {
        switch pool.terms.protection {
        case .encrypted(let key): secure(pool, stream, key)
        case .plain(let secret):
            let hello = DataChannelHello(group: pool.group, number: pool.nextNumber, secret: secret)
            pool.nextNumber += 1
            guard stream.sendAtOnce(hello.bytes) else { return pause(pool) }
            keep(pool, stream, isRegistered: false, isNew: true)
        }
    }

    private func secure(_ pool: Pool, _ stream: consuming Stream, _ key: ChannelKey) {
        var own: ObjectIdentifier?
        let role = TLSHandshake.Role.data(pool.group, key)
        let handshake = TLSHandshake(on: loop, stream, keys.tls, as: role, limit: Self.dialLimit) {
            [weak self, weak pool] outcome in
            guard let self, let pool else { return }
            if let own { pool.securing[own] = nil }
            switch consume outcome {
            case .secured(let stream, _):
                keep(pool, stream, isRegistered: true, isNew: true)
                refill(pool)
            case .failed:
                channelFailed(pool)
                pause(pool)
            }
        }
        own = ObjectIdentifier(handshake)
        pool.securing[ObjectIdentifier(handshake)] = handshake
        handshake.start(isRegistered: false)
    }

    private func keep(_ pool: Pool, _ stream: consuming Stream, isRegistered: Bool, isNew: Bool = false) {
        let channel = try? ReadyChannel(
            on: loop, stream, isRegistered: isRegistered, expecting: VisitorStart.byteCount,
            isPossible: VisitorStart.mayBegin(with:)
        ) { [weak self, weak pool] channel, word in
            guard let self, let pool else { return }
            pool.channels.removeAll { $0 === channel }
            let isSteady = pool.isSteady(channel, at: loop.now)
            pool.young[ObjectIdentifier(channel)] = nil
            if let word, let start = VisitorStart(word), let stream = channel.takeStream() {
                taken(pool, start, stream)
            } else {
                channel.close()
                if !isSteady, pool.channels.count < pool.wanted { channelFailed(pool) }
                broke(pool)
            }
        }
        guard let channel else { return }
        pool.channels.append(channel)
        if isNew { watch(channel, of: pool) }
    }

    private func watch(_ channel: ReadyChannel, of pool: Pool) {
        pool.young = pool.young.filter { loop.now - $0.value < Self.steady }
        pool.young[ObjectIdentifier(channel)] = loop.now
        guard pool.isInTrouble else { return }
        loop.schedule(after: Self.steady) { [weak self, weak pool, weak channel] in
            guard let self, let pool, let channel, pool.channels.contains(where: { $0 === channel }) else { return }
            channelStands(pool)
        }
    }

    private func channelFailed(_ pool: Pool) {
        guard pools[pool.group] === pool, !pool.channels.contains(where: { pool.isSteady($0, at: loop.now) }) else {
            return
        }
        pool.isInTrouble = true
        report(.channelFailed(pool.group))
    }

    private func channelStands(_ pool: Pool) {
        guard pool.isInTrouble else { return }
        pool.isInTrouble = false
        report(.channelStands(pool.group))
    }

    private func broke(_ pool: Pool) {
        // The relay closes those that it has too many of.
        guard pool.channels.count < pool.wanted else { return }
        // A channel that breaks as soon as it is made would otherwise be redialled in a tight circle.
        pause(pool)
    }

    private func taken(_ pool: Pool, _ start: VisitorStart, _ channel: consuming Stream) {
        pool.pauses = 0
        channelStands(pool)
        let arrival = Arrival(start: start, taken: Taken(group: pool.group, relay: pool.terms.key, tick: pool.tick))
        expectBack(pool)
        visitorCame(arrival, channel)
    }

    /// Counts on a channel's return for a while.
    private func expectBack(_ pool: Pool) {
        pool.recentlyTaken += 1
        guard !pool.isTicking else { return }
        pool.isTicking = true
        loop.schedule(after: Self.returnPatience) { [weak self, weak pool] in
            guard let pool else { return }
            pool.isTicking = false
            pool.tick += 1
            pool.recentlyTaken = 0
            self?.refill(pool)
        }
    }

    /// A visitor is through with it, or it broke.
    private func takeBack(_ stream: consuming Stream?, _ rest: [UInt8], _ taken: Taken) {
        guard let pool = pools[taken.group] else { return }
        if pool.tick == taken.tick { pool.recentlyTaken -= 1 }
        // The relay has nothing to say before it knows that this end is through.
        guard rest.isEmpty, let stream = consume stream else { return refill(pool) }
        keep(pool, stream, isRegistered: true)
    }

    // MARK: Visitors

    private func visitorCame(_ arrival: Arrival, _ channel: consuming Stream) {
        let start = arrival.start
        guard let route = routes[start.mapping] else { return refuse(arrival, channel) }
        if start.wantsAnswer {
            guard remember(VisitorName(group: arrival.taken.group, visitor: start.visitor)),
                channel.sendAtOnce(ChannelFrame.alive)
            else { return takeBack(nil, [], arrival.taken) }
        }
        guard route.isChecked(start.portOffset) else {
            if start.isCheckOnly { return refuse(arrival, channel) }
            return connect(arrival, channel)
        }
        let waiting = FirstBytes(
            on: loop, channel, maximum: Self.probeByteCount, limit: Self.checkPatience,
            isEnough: { bytes in
                let (payload, isEnded) = ChannelFrame.opening(of: bytes)
                return isEnded || ReachabilityCheck.read(payload) != .incomplete
            },
            done: { [weak self] stream, bytes in
                var arrival = arrival
                arrival.input = bytes
                self?.judge(arrival, stream)
            })
        _ = waiting
    }

    private func judge(_ arrival: Arrival, _ channel: consuming Stream) {
        let start = arrival.start
        let payload = ChannelFrame.opening(of: arrival.input).payload
        if case .probe(let nonce) = ReachabilityCheck.read(payload),
            routes[start.mapping]?.pendingChecks[nonce] == start.portOffset
        {
            let answer = ReachabilityCheck.answer(nonce: nonce, mapping: start.mapping, by: keys.identity)
            _ = channel.sendAtOnce(ChannelFrame.framed(answer) + ChannelFrame.end)
            let farewell = ByteChannel(on: loop, channel)
            farewell.closeAfterFlush()
            return takeBack(nil, [], arrival.taken)
        }
        if start.isCheckOnly { return refuse(arrival, channel) }
        connect(arrival, channel)
    }

    /// The channel goes with that, and is reset; so is the visitor.
    private func refuse(_ arrival: Arrival, _ channel: consuming Stream) { takeBack(nil, [], arrival.taken) }

    /// For want of descriptors, which is no fault of the target. Its next channels come after a while: a relay that
    /// sends a visitor on each as soon as it is there would have them dialled without a pause.
    private func refuseForShortage(_ arrival: Arrival, _ channel: consuming Stream) {
        report(.ranShort)
        if let pool = pools[arrival.taken.group] { pause(pool) }
        refuse(arrival, channel)
    }

    private func connect(_ arrival: Arrival, _ channel: consuming Stream) {
        let start = arrival.start
        let mapping = start.mapping
        guard let route = routes[mapping], Int(start.portOffset) < route.count else {
            return refuse(arrival, channel)
        }
        guard let address = route.address(start.portOffset) else {
            if route.addresses.isEmpty { failed(mapping, start.portOffset, "its name cannot be looked up") }
            return refuse(arrival, channel)
        }
        let target: Stream
        do throws(SystemError) {
            let opened = try Connector.open(address, .atTheEdge)
            guard hasRoom(for: arrival.taken.relay, opened.openDescriptors - 1) else { throw .outOfDescriptors }
            target = opened
        } catch {
            if error.isOutOfDescriptors { return refuseForShortage(arrival, channel) }
            failed(mapping, start.portOffset, error.text)
            return refuse(arrival, channel)
        }
        carried[arrival.taken.relay, default: 0] += 1
        counters[mapping, default: TrafficCounters()].connections += 1
        counters[mapping, default: TrafficCounters()].open += 1
        let visit = Visit(on: self, channel, to: target, mapping, port: start.portOffset, arrival.taken)
        visit.useFrames(on: .left, input: arrival.input)
        visits[ObjectIdentifier(visit)] = visit
        visit.start(isLeftRegistered: true)
    }

    private func ended(_ visit: Visit, _ ending: Forwarder.Ending) {
        guard visits.removeValue(forKey: ObjectIdentifier(visit)) != nil else { return }
        let mapping = visit.mapping
        let left = carried[visit.taken.relay, default: 1] - 1
        carried[visit.taken.relay] = left > 0 ? left : nil
        counters[mapping, default: TrafficCounters()].open -= 1
        counters[mapping, default: TrafficCounters()].bytesFromVisitors += visit.bytesLeftToRight
        counters[mapping, default: TrafficCounters()].bytesToVisitors += visit.bytesRightToLeft
        if case .neverConnected(let error) = ending {
            counters[mapping, default: TrafficCounters()].failed += 1
            if error.isOutOfDescriptors { report(.ranShort) } else { failed(mapping, visit.port, error.text) }
        }
    }

    /// Whoever goes to a port that is known to be down says nothing new with that.
    private func failed(_ mapping: MappingID, _ port: UInt16, _ reason: String) {
        guard let route = routes[mapping], route.targets.silent[port] == nil else { return }
        report(.targetFailed(mapping, port: port, reason))
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
