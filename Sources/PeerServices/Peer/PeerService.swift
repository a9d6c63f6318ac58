internal import Logging
public import PeerCore
internal import PeerDataPlane
public import PeerReactor
internal import PeerStorage
public import PeerWire

/// What a node exposes, and where: holds what its user asks for (`MappingBook`), a connection to each relay
/// (`RelayConnection`) with what is agreed there (`PeerPortAgreement`), has ports checked from outside
/// (`ReachabilityChecks`) and chooses relays (`RelaySelector`). Belongs to the control loop, with one lane a loop for
/// the data.
public final class PeerService {
    private static let tick = Instant.Span.milliseconds(200)
    private static let oneNumberInterval = Instant.Span.seconds(2)
    /// Visitors and their channels leave so many open files to all else.
    private static let keptDescriptors = 32
    private static let maximumUnwanted = 1_024

    let loop: EventLoop
    private let laneLoops: [EventLoop]
    let keys: KeyRing
    let setup: Setup
    let parts: Parts
    private let connections: RelayConnection.Parts
    let book: MappingBook
    let checks: ReachabilityChecks
    let selector: RelaySelector
    private(set) var lanes = LaneGroup<PeerLane>()
    private(set) var relays: [UsedRelay] = []
    /// Left by the user: not chosen again while this process runs. At most `maximumUnwanted`.
    var unwanted: Set<NodeKey> = []
    var memory: PortMemory
    var oneNumber = OneNumber()
    private var nextLookForOneNumber = Instant.zero
    var shortage = Shortage()
    private var isStopped = false
    /// What is known of relays; changes that come of sessions are told to the host.
    public internal(set) var knownRelays: KnownRelays
    /// Set as long as the peer runs.
    private(set) weak var host: (any PeerHost)?

    public init(on loop: EventLoop, lanes laneLoops: [EventLoop], keys: KeyRing, setup: Setup, parts: Parts) {
        self.loop = loop
        self.laneLoops = laneLoops
        self.keys = keys
        self.setup = setup
        self.parts = parts
        connections = RelayConnection.Parts(
            loop: loop, keys: keys, carriers: parts.carriers,
            introduction: PeerMessage.Introduction(
                instance: setup.process.instance, name: setup.name, dialled: "", software: setup.software,
                wantsPlain: setup.wantsPlain, began: setup.process.number),
            log: parts.log)
        book = MappingBook(on: loop, connections.resolver, log: parts.log)
        checks = ReachabilityChecks(on: loop, connections.resolver, keys: keys, judge: parts.judge, book)
        selector = RelaySelector(by: loop, sessions: setup.sessions)
        memory = PortMemory(setup.remembered)
        knownRelays = setup.knownRelays
    }

    var log: Logger { parts.log }

    public func start(for host: any PeerHost) {
        self.host = host
        // The lanes do not keep their peer alive.
        let bound = LoopBound(Weak(self), on: loop)
        let descriptors = ReserveGate.Supply(limit: setup.openFiles, reserve: Self.keptDescriptors)
        lanes = LaneGroup(on: laneLoops) { [loop, keys, parts, laneLoops, setup] _, laneLoop in
            PeerLane(
                on: laneLoop, carriers: parts.carriers, share: DescriptorShare(descriptors, lanes: laneLoops.count),
                flows: setup.flows, identity: { keys.identity }
            ) { report in
                loop.execute { bound.value.value?.laneReported(report) }
            }
        }
        book.start(for: self, lanes)
        checks.host = self
        scheduleTick()
        selector.start(for: self)
    }

    /// Tells every relay that this node leaves.
    public func stop() {
        isStopped = true
        selector.stop()
        for relay in relays { relay.connection.stop() }
        book.stop()
    }

    private func scheduleTick() {
        loop.schedule(after: Self.tick) { [weak self] in
            guard let self, !isStopped else { return }
            let now = loop.clock()
            for relay in relays {
                for (id, agreement) in relay.agreements {
                    if let deadline = agreement.nextDeadline, now >= deadline { handle(.timePassed, id, relay) }
                }
            }
            lookAtShortage()
            if now >= nextLookForOneNumber {
                nextLookForOneNumber = now + Self.oneNumberInterval
                lookForOneNumber()
            }
            scheduleTick()
        }
    }

    // MARK: Relays

    /// Holds a session to this relay from now on. `false` when it does so already.
    @discardableResult
    public func join(_ endpoint: Endpoint) -> Bool {
        if let relay = relays.first(where: { $0.endpoint == endpoint }) {
            guard !relay.isNamed else { return false }
            forget(relay)
        }
        if let key = knownRelays[endpoint.description].key { unwanted.remove(key) }
        add(endpoint, chosenFor: nil)
        return true
    }

    /// - Parameter key: that it has to prove; `nil`: the user named it.
    func add(_ endpoint: Endpoint, chosenFor key: NodeKey?) {
        let connection = RelayConnection(to: endpoint, chosenFor: key, connections, host: self)
        let relay = UsedRelay(connection, lane: relays.count % laneLoops.count)
        relays.append(relay)
        for wish in book.all { addAgreement(wish, at: relay) }
        if !isStopped { connection.start() }
        host?.changed()
    }

    /// Changes what is known of relays, and tries the one at once that is affected.
    ///
    /// - Parameter done: told when that is on the disk, or why it is not.
    public func change(
        _ address: Endpoint, done: TableWriter.Done? = nil, _ body: (inout KnownRelays) -> Void
    ) {
        let former = knownRelays
        body(&knownRelays)
        // Saved also where it is the same: what it became before may be on its way, or may not have been written.
        host?.save(knownRelays, done: done)
        guard knownRelays != former else { return }
        hurry(to: address, anew: true)
    }

    /// Gives up the session to a relay and what was agreed there. `false` when it was not joined.
    @discardableResult
    public func leave(_ endpoint: Endpoint) -> Bool {
        guard let relay = relays.first(where: { $0.endpoint == endpoint }) else { return false }
        if let key = relay.key ?? relay.chosenKey ?? knownRelays[endpoint.description].key,
            unwanted.count < Self.maximumUnwanted
        {
            unwanted.insert(key)
        }
        if relay.isEstablished {
            for id in relay.agreements.keys { relay.send(.release(id)) }
        }
        if let key = relay.key {
            for id in relay.agreements.keys { parts.receipts.remove(relay: key, mapping: id) }
        }
        forget(relay)
        return true
    }

    /// Ends the session, if there is one, and forgets the relay; what it leased to this node stays leased.
    func forget(_ relay: UsedRelay) {
        guard let index = relays.firstIndex(where: { $0 === relay }) else { return }
        let terms = relay.connection.leave()
        relays.remove(at: index)
        lost(relay, terms)
        freeOwnPort(of: relay)
        host?.changed()
    }

    /// Tries those relays at once to which there is no session.
    public func hurry() {
        for relay in relays { relay.connection.hurry() }
    }

    /// - Parameter anew: what is known of the relay has changed.
    public func hurry(to endpoint: Endpoint, anew: Bool = false) {
        for relay in relays where relay.endpoint == endpoint { relay.connection.hurry(anew: anew) }
    }

    // MARK: Mappings

    /// Exposes something from now on, at every relay. What is temporary leaves no trace in the IP table.
    public func add(_ wish: MappingWish, isTemporary: Bool) {
        let server = SocketAddress(host: setup.bindHost ?? .ipv4([127, 0, 0, 1]), port: setup.serverPort)
        guard book.add(wish, isTemporary: isTemporary, serverAddress: server) else { return }
        for relay in relays { addAgreement(wish, at: relay) }
        book.look(at: wish.id)
        host?.changed()
    }

    /// Whether a mapping is dropped where it is refused.
    public func setTrial(of id: MappingID, _ isOnTrial: Bool) {
        if isOnTrial, book[id] != nil { book.onTrial.insert(id) } else { book.onTrial.remove(id) }
    }

    /// Takes a mapping back. `false` when there is none.
    @discardableResult
    public func unmap(_ id: MappingID) -> Bool {
        guard let wish = book.remove(id) else { return false }
        parts.receipts.removeAll(of: id)
        for relay in relays {
            relay.receipts.remove(id)
            relay.toldRefusals[id] = nil
            relay.toldUnreachable.remove(id)
            guard relay.agreements.removeValue(forKey: id) != nil else { continue }
            if wish.target == .serverPort { freeOwnPort(of: relay) }
            if relay.isEstablished { relay.send(.release(id)) }
        }
        host?.changed()
        return true
    }

    /// Another word of the user about a mapping that is there, with the same target. Where it is for other visitors,
    /// its relays are asked anew; it keeps its ports.
    public func change(_ wish: MappingWish) {
        guard book.change(wish) else { return }
        for relay in relays {
            if relay.agreements[wish.id]?.takeOver(wish) == true { continue }
            addAgreement(wish, at: relay)
        }
        tellPlaces(of: wish.id)
        host?.changed()
    }

    /// Looks at a mapping's target now instead of at the next turn.
    public func look(at id: MappingID) { book.look(at: id) }

    /// Whether the target is being looked at, so that what is known of it may change at once.
    public func isLooking(at id: MappingID) -> Bool { book.isLooking(at: id) }

    public var allWishes: [MappingWish] { book.all }

    /// Whether it ends with this process.
    public func isTemporary(_ id: MappingID) -> Bool { book.isTemporary(id) }

    /// It stays, though it was made to end with this process.
    public func keep(_ id: MappingID) { book.keep(id) }

    /// Kept, and not exposed by this process.
    public var resting: Set<MappingID> {
        get { book.resting }
        set { book.resting = newValue }
    }

    /// Whether a lease of a mapping that this node does not know is given back: not where what it knew was lost.
    public var releasesUnknown: Bool {
        get { book.releasesUnknown }
        set { book.releasesUnknown = newValue }
    }
}
