internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerWire

/// The relay that lanes belong to. On the control loop.
protocol RelayLanesHost: AnyObject {
    /// A session should have so many channels more on that lane.
    func wantChannels(_ session: SessionID, _ count: Int, lane: Int)
    /// So many visitors were refused for want of descriptors.
    func ranShort(_ count: UInt64)
    /// Nothing is heard of a session's peer, to which datagrams are sent.
    func datagramsMissed(_ session: SessionID)
}

/// The lanes of a relay, and which of them serve whom. Belongs to the control loop.
final class RelayLanes {
    private let control: EventLoop
    let loops: [EventLoop]
    private var group = LaneGroup<RelayLane>()
    private weak var host: (any RelayLanesHost)?
    private var plan: LanePlan
    /// This relay has public ports for datagrams.
    private(set) var takesDatagrams = false

    init(on control: EventLoop, _ loops: [EventLoop]) {
        self.control = control
        self.loops = loops
        plan = LanePlan(lanes: loops.count)
    }

    /// - Parameters:
    ///   - host: the lanes do not keep it alive.
    ///   - policy: of all lanes together.
    ///   - datagrams: sockets at the server's port, one for each lane; for those without one frames of datagrams take
    ///     streams. `nil`: this relay takes no datagrams.
    func start(for host: any RelayLanesHost, policy: VisitorPolicy, datagrams: [DatagramSocket]? = nil) {
        let share = policy.share(of: loops.count)
        self.host = host
        let bound = LoopBound(Weak(self), on: control)
        group = LaneGroup(on: loops) { [control] index, loop in
            let reports = RelayLane.Reports(
                wantChannels: { session, count in
                    control.execute { bound.value.value?.host?.wantChannels(session, count, lane: index) }
                }, ranShort: { count in control.execute { bound.value.value?.host?.ranShort(count) } },
                datagramsMissed: { session in
                    control.execute { bound.value.value?.host?.datagramsMissed(session) }
                })
            let socket = datagrams.flatMap { index < $0.count ? $0[index] : nil }
            return RelayLane(on: loop, policy: share, datagrams: socket, reports: reports)
        }
        takesDatagrams = datagrams != nil
        group.onAll { try? $0.start() }
    }

    // MARK: Who is served where

    /// The lane with the key's ports, and then the others that its visitors are dealt to.
    func indexes(of key: NodeKey) -> [Int] { plan.all(of: key) }

    /// Where the key's ports accept.
    func loop(of key: NodeKey) -> EventLoop { loops[plan.first(of: key)] }

    /// The former keys whose ports may move to `key` (`LanePlan.takeOver`).
    func takeOver(
        from formerly: [NodeKey], by key: NodeKey, hasPorts: (NodeKey) -> Bool, isHere: (NodeKey) -> Bool
    ) -> [NodeKey] { plan.takeOver(from: formerly, by: key, hasPorts: hasPorts, isHere: isHere) }

    // MARK: What lanes are told

    func on(_ indexes: [Int], _ body: @escaping @Sendable (RelayLane) -> Void) { group.on(indexes, body) }

    func onAll(_ body: @escaping @Sendable (RelayLane) -> Void) { group.onAll(body) }

    /// Where the key's ports accept.
    func onFirst(of key: NodeKey, _ body: @escaping @Sendable (RelayLane) -> Void) {
        group.on(plan.first(of: key), body)
    }

    /// On all lanes of a key; on those that its visitors are dealt to by way of the one that accepts them, and so after
    /// everybody who was dealt before.
    ///
    /// - Parameter first: for the lane that accepts, before the other.
    func on(
        _ key: NodeKey, first: @escaping @Sendable (RelayLane) -> Void = { _ in },
        _ body: @escaping @Sendable (RelayLane) -> Void
    ) {
        let indexes = plan.all(of: key)
        let others = indexes.dropFirst().map { (group[$0], loops[$0]) }
        group.on(indexes[0]) { lane in
            first(lane)
            body(lane)
            for (other, loop) in others { loop.execute { body(other.value) } }
        }
    }

    /// Takes visitors from the lane that accepts them to each of the other lanes of a key.
    func dealers(of key: NodeKey) -> [@Sendable (StreamParcel, AcceptingPorts.AcceptedVisitor) -> Void] {
        plan.all(of: key).dropFirst().map { index in
            let (lane, loop) = (group[index], loops[index])
            return { parcel, visitor in
                loop.execute { if let stream = parcel.open() { lane.value.ports.came(stream, visitor) } }
            }
        }
    }

    /// A data channel of a session goes to its lane.
    func add(_ stream: consuming Stream, to id: SessionID, at index: Int) {
        let (lane, loop) = (group[index], loops[index])
        guard loop !== control else { return lane.value.channels.add(stream, to: id, isRegistered: true) }
        let parcel = StreamParcel(stream)
        loop.execute {
            guard let stream = parcel.open() else { return }
            lane.value.channels.add(stream, to: id, isRegistered: false)
        }
    }

    /// A session's stream for frames of datagrams goes to its lane.
    func addDatagrams(_ stream: consuming Stream, _ number: UInt32, at index: Int) {
        let (lane, loop) = (group[index], loops[index])
        guard loop !== control else { return lane.value.addDatagramStream(stream, number, isRegistered: true) }
        let parcel = StreamParcel(stream)
        loop.execute {
            guard let stream = parcel.open() else { return }
            lane.value.addDatagramStream(stream, number, isRegistered: false)
        }
    }

    /// Asks the lanes for their counters and answers on the control loop.
    func report(_ answer: @escaping ([Claim: TrafficCounters]) -> Void) {
        group.gather(on: control, { $0.traffic() }, answer)
    }
}
