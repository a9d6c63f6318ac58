internal import Logging
public import PeerCore
internal import PeerProbing
public import PeerReactor
public import PeerStorage
public import PeerWire

/// The mesh as one node takes part in it: runs its parts when they are due. Belongs to the control loop.
///
/// `Directory` has the records, `OwnRecord` writes the one of this node, `Reach` finds out whether others reach it,
/// `RelayFinder` knows the relays, and `Answering` answers what other nodes ask.
public final class MeshService {
    private static let tick = Instant.Span.seconds(1)
    private static let networksInterval = Instant.Span.seconds(10)
    /// A part whose deadline has passed must not keep the loop busy.
    private static let shortestNap = Instant.Span.milliseconds(20)

    let context: MeshContext
    let directory: Directory
    let ownRecord: OwnRecord
    let reach: Reach
    let finder: RelayFinder
    private let client: MeshClient
    private let dialBacks: DialBacks
    private let answering: Answering
    private let vouching: Vouching
    private let mirrors: Mirrors
    private let bandwidth: BandwidthMeter
    private let contacts: Contacts
    private var timer: (any Wake)?
    private var nextTick = Instant.zero
    private var nextNetworks = Instant.zero
    private var isStopped = false

    public convenience init(
        on loop: EventLoop, setup: Setup, keys: KeyRing, _ parts: Parts, host: any MeshHost
    ) {
        let context = MeshContext(
            time: loop, setup: setup, signatures: keys, host: host, dialGuard: parts.judge,
            store: TableMeshStore(parts.writer, on: loop), log: parts.log)
        self.init(context, over: HTTPSNetwork(parts.client, on: loop), judge: RecordJudge(on: loop, keys))
    }

    init(_ context: MeshContext, over network: any MeshNetwork, judge: any RecordJudging) {
        self.context = context
        client = MeshClient(context, over: network)
        directory = Directory(context, client, judge: judge)
        contacts = Contacts(context, directory)
        reach = Reach(context, directory, contacts)
        ownRecord = OwnRecord(context, directory, reach)
        finder = RelayFinder(context, directory, contacts)
        dialBacks = DialBacks(context, client)
        answering = Answering(context, directory, reach, dialBacks)
        vouching = Vouching(context, directory)
        mirrors = Mirrors(context, client, contacts)
        bandwidth = BandwidthMeter(context, finder)
    }

    public func start() {
        directory.coordinator = self
        reach.coordinator = self
        ownRecord.coordinator = self
        finder.coordinator = self
        answering.coordinator = self
        turn()
    }

    /// Answers what is open; asks nothing more.
    public func stop() {
        isStopped = true
        timer?.cancel()
        dialBacks.stop()
        directory.stop()
        client.stop()
    }

    /// The node has another key (`KeyRing.rotate`): for the mesh it is another node, which takes what was known along.
    public func keyRotated(seed: [UInt8]) {
        dialBacks.keyRotated()
        client.renew(seed: seed)
        directory.keyRotated()
        contacts.keyRotated()
        reach.keyRotated()
        finder.keyRotated()
        ownRecord.keyRotated()
    }

    /// Whatever is due.
    func turn() {
        guard !isStopped else { return }
        let now = context.now
        directory.turn(at: now)
        if now >= nextNetworks { lookAtNetworks(now) }
        if now >= reach.nextDeadline { reach.turn(at: now) }
        dialBacks.turn(at: now)
        if now >= nextTick {
            nextTick = now + Self.tick
            reach.noticeContacts(at: now)
            ownRecord.publishIfChanged()
            finder.tick(at: now)
            finder.probeStrangers(at: now)
            vouching.tick(at: now)
            bandwidth.tick(at: now)
        }
        finder.probe(at: now)
        arm()
    }

    private func lookAtNetworks(_ now: Instant) {
        nextNetworks = now + Self.networksInterval
        guard context.dialGuard.refresh() else { return }
        reach.networksChanged(at: now)
        directory.networksChanged()
    }
}

extension MeshService: MeshCoordinator {
    func changed(_ changes: [Gossip.Change]) { if finder.take(changes) { context.host.changed() } }
    func heard() { ownRecord.lookForForeign() }
    func noteSilence(of key: NodeKey) { finder.noteSilence(of: key) }

    func publishSoon() {
        nextTick = .zero
        arm()
    }

    func arm() {
        guard !isStopped else { return }
        var deadline = min(directory.nextDeadline, nextTick, reach.nextDeadline)
        for other in [dialBacks.nextDeadline, finder.nextDeadline].compactMap({ $0 }) {
            deadline = min(deadline, other)
        }
        timer?.cancel()
        timer = context.time.wake(after: max(deadline - context.now, Self.shortestNap)) { [weak self] in self?.turn() }
    }
}

// MARK: What the node around it asks and tells

extension MeshService {
    /// What came of a refresh.
    public struct Refreshed: Sendable {
        /// Nodes that were asked, and those that answered.
        public var asked: Int
        public var answered: Int
        /// Records that were new here.
        public var learnt: Int
    }

    /// Where the search for others begins: host:port, as a user wrote it.
    public func add(seed: Endpoint) { directory.add(seed: seed) }
    public func remove(seed: Endpoint) { directory.remove(seed: seed) }
    /// The seeds of the IP table, all there are.
    public func seedsChanged(_ seeds: [Seed]) { directory.seedsChanged(seeds) }
    /// Nobody else is known here, and there is nobody to ask.
    public var isAlone: Bool { directory.isAlone }
    /// Nodes that have a record here, this one too.
    public var recordCount: Int { directory.table.count }

    /// A round of exchanges, now. `done` is called once, when all of them are over; each has its time-out.
    public func refresh(_ done: @escaping (Refreshed) -> Void) {
        directory.refresh(done)
        turn()
    }

    /// The user says something else of this node.
    public func noteChanged(_ note: String) { ownRecord.noteChanged(note) }

    /// Peers are being let go.
    public var isDraining: Bool {
        get { ownRecord.isDraining }
        set { ownRecord.drain(newValue) }
    }

    /// Whether others reach this node.
    public var standing: Reachability.Standing { reach.standing }
    /// Addresses of this machine but loopback.
    public var ownHosts: [HostAddress] {
        context.dialGuard.ownHosts.filter {
            $0.bytes.count == 4 ? $0.bytes[0] != 127 : $0.bytes.dropLast().contains { $0 != 0 }
        }
    }
    /// What several nodes see of one port of this machine. `done` is called once.
    public func observe(_ done: @escaping ([NATKind.Observation]) -> Void) { mirrors.observe(done) }

    /// Whether a node has shown lately that it belongs to the mesh, by keys that count now.
    public func isMember(_ key: NodeKey) -> Bool { answering.isMember(key) }
    /// - Parameter reply: called once, on the control loop; a dial-back takes seconds.
    public func asked(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        answering.asked(question, reply)
    }

    /// Whether this node has lately met one there that offers to be a relay.
    public func hasMetRelay(at host: HostAddress) -> Bool { directory.hasMetRelay(at: host) }
    /// Nodes that say of themselves that they are relays.
    public var relayKeys: Set<NodeKey> { Set(finder.relays.keys) }
    /// The relays that are known, the best first; those that were measured before those that never answered.
    public var known: [MeshRelay] { finder.known }
    /// The relays that may be chosen now, the cheapest first.
    public var candidates: [RelayCandidate] { finder.candidates }
    /// Of these addresses, host:port, those of relays that are no candidates now, and may be soon.
    public func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook] { finder.outlooks(addresses) }
    /// A round trip that a session measured itself.
    public func measured(_ roundTrip: Instant.Span, of key: NodeKey) { finder.measured(roundTrip, of: key) }
}
