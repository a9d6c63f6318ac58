import Logging
import PeerCore
import PeerProbing
import PeerReactor
import PeerStorage
import PeerWire
import SimulationSupport

@testable import PeerServices

/// A node of a simulated mesh: the shells that ship, `MeshService` and of some also `RelaySelector`, and around them
/// the little of a node that they ask for. Its network and its time are `MeshWorld`.
final class MeshNode {
    enum Kind {
        case honest
        /// Passes on records that it forged, and some that have expired.
        case forger
        /// Makes up keys without end.
        case flooder
        /// Cannot be reached, says that it is a relay, and its like bear witness for it.
        case pretender
        /// A relay like others that says that it has no load.
        case boaster
        /// A relay as others see it, that carries nothing.
        case hollow
    }

    let number: Int
    let kind: Kind
    let isPublic: Bool
    let seal: Seal
    let address: NodeAddress
    /// Where it is, in milliseconds.
    let place: (x: Double, y: Double)
    /// Whether it chooses relays: a part of the nodes does.
    let isPeer: Bool
    unowned let world: MeshWorld

    /// `nil` while it is down.
    private(set) var mesh: MeshService?
    private(set) var selector: RelaySelector?
    /// Relays with a session, and what their pings take.
    private var sessions: [NodeKey: RelayLatency] = [:]

    // What is on its disk.
    private var records: [NodeKey: SignedRecord] = [:]
    private var lastIssue: UInt64 = 0
    /// What is under way when it crashes is lost.
    private(set) var epoch = 0
    /// The part of the network that it is in, while that is cut in two.
    var side = 0
    /// Its clock is off by so many seconds.
    var clockError: Int64 = 0
    /// Statements of its like.
    var bought: [DialBackStatement] = []
    var mappingNumber: UInt16 = 1 { didSet { mesh?.publishSoon() } }

    init(
        number: Int, kind: Kind, isPublic: Bool, isPeer: Bool, place: (Double, Double), address: NodeAddress,
        in world: MeshWorld
    ) {
        self.number = number
        self.kind = kind
        self.isPublic = isPublic
        self.isPeer = isPeer
        self.place = (place.0, place.1)
        self.world = world
        seal = Seal(number)
        self.address = address
    }

    var key: NodeKey { seal.key }
    var isLiar: Bool { kind != .honest }
    var isUp: Bool { mesh != nil }
    var gossip: Gossip? { mesh?.directory.gossip }
    /// Relays that visitors are told of.
    var published: [NodeKey] { selector?.published ?? [] }
    var standing: Reachability.Standing { mesh?.standing ?? .unknown }
    /// Of those that reached it.
    var statements: [DialBackStatement] { mesh?.reach.witnessed.statements ?? [] }

    // MARK: Life

    func start() {
        guard mesh == nil else { return }
        epoch += 1
        let process = ProcessStart(
            number: UInt64(epoch), instance: ProcessInstance(bytes: Array([UInt8].seed(UInt64(number)).prefix(16)))!)
        var setup = MeshService.Setup(name: "node-\(number)", software: "test", port: address.port, process: process)
        setup.isRelay = isPublic || kind == .pretender
        setup.records = records.values.sorted { $0.tag < $1.tag }
        setup.lastIssue = lastIssue
        setup.limits = world.plan.limits
        setup.seed = UInt64(number &+ epoch &* 1_000_003)
        let context = MeshContext(
            time: self, setup: setup, signatures: SealedSignatures(seal: seal), host: self,
            dialGuard: MeshWorld.dialGuard, store: self, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let mesh = MeshService(context, over: self, judge: InlineJudge(SealedSignatures(seal: seal)))
        self.mesh = mesh
        if number > 0 { mesh.add(seed: world.seed(for: self)) }
        mesh.start()
        guard isPeer else { return }
        selector = RelaySelector(by: self, sessions: 2)
        selector?.start(for: self)
        ping()
    }

    func crash() {
        epoch += 1
        mesh?.stop()
        selector?.stop()
        (mesh, selector, sessions) = (nil, nil, [:])
    }

    /// Its like wrote for it what a relay says that others have reached.
    private func publishLie() {
        let time = self.wall().seconds
        lastIssue = Swift.max(lastIssue + 1, UInt64(time) * 1_000)
        let content = RecordAuthor.Content(
            roles: .relay, name: "node-\(number)", software: "test", addresses: [address], witnesses: bought)
        let record = seal.sign(
            NodeRecord(
                key: key, issue: lastIssue, process: .init(began: UInt64(epoch), instance: UInt64(number)),
                issued: time, lifetime: RecordAuthor.lifetime, content: content))
        world.published[record.tag, default: [:]][record.issue] = record
        mesh?.directory.publish(record)
    }

    /// What liars add to what they send.
    func lies(among records: [SignedRecord]) -> [SignedRecord] {
        let time = world.wall.seconds
        switch kind {
        case .forger:
            var lies: [SignedRecord] = []
            if let victim = records.randomElement(using: &world.random)?.record {
                var forged = victim
                forged.issue += 5
                forged.roles = []
                forged.addresses = [address]
                lies.append(try! SignedRecord(forged) { _ in [UInt8](repeating: 1, count: 64) })
            }
            // Genuine, and long over.
            lies.append(Seal(5_000_000 + number).record(issued: time - 10_000, lifetime: 3_600))
            return lies
        case .flooder:
            guard world.flood > 0 else { return [] }
            world.flood -= 12
            return (0..<12).map { _ in
                let made = Int(world.random.next() % 1_000_000_000) + 10_000_000
                return Seal(made).record(
                    issue: UInt64(time) * 1_000, issued: time, roles: .relay, addresses: [.number(made & 0xffffff)])
            }
        case .honest, .pretender, .boaster, .hollow: return []
        }
    }
}

// MARK: What the shells ask of the node around them

extension MeshNode: MeshHost {
    var knownMeshKeys: [MeshKey] { [MeshWorld.meshKey] }
    func hasSession(with key: NodeKey) -> Bool { false }
    func isPeerHere(_ key: NodeKey) -> Bool { world.plan.isNamed && number == 0 }
    var sessionAddresses: [(key: NodeKey, address: NodeAddress)] {
        guard world.plan.isNamed, number > 0, !isLiar else { return [] }
        return [(world.nodes[0].key, world.nodes[0].address)]
    }
    func pinnedKey(of address: String) -> NodeKey? { nil }
    func isNamed(_ key: NodeKey) -> Bool { false }
    var formerRelays: Set<String> { [] }
    var heldRelays: [NodeKey] {
        published + sessions.keys.filter { !published.contains($0) }.sorted { $0.tag < $1.tag }
    }
    var load: Double { kind == .boaster ? 0 : 0.1 }
    /// Bandwidth is not simulated.
    func whetherIdle(_ answer: @escaping (Bool) -> Void) { answer(false) }
    var announced: [NodeRecord.Mapping] {
        guard world.isPublisher(self) else { return [] }
        return [.init(name: "web", protocols: .tcp, host: "relay", ports: .only(mappingNumber))]
    }
    func changed() {}
    func superseded() { world.fail("\(number) was taken for a process that is over") }
}

extension MeshNode: Timekeeper {
    func clock() -> Instant { world.now }
    func wall() -> WallTime { world.wall + clockError }
    var isSynchronized: Bool { false }

    func wake(after span: Instant.Span, _ body: @escaping () -> Void) -> any Wake {
        let wake = SimulatedWake(body)
        let epoch = epoch
        world.after(span) { [unowned self] in if self.epoch == epoch { wake.fire() } }
        return wake
    }
}

final class SimulatedWake: Wake {
    private var body: (() -> Void)?

    init(_ body: @escaping () -> Void) { self.body = body }

    func cancel() { body = nil }

    func fire() {
        let body = self.body
        self.body = nil
        body?()
    }
}

extension MeshNode: MeshNetwork {
    func send(_ request: NodeRequest, _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void) {
        world.carry(request, from: self, done)
    }

    func renew(seed: [UInt8]) {}
    func stop() {}
}

/// A disk that takes a millisecond.
extension MeshNode: MeshStore {
    func apply(_ changes: [Gossip.Change], at moment: UnixTime) {
        for change in changes {
            switch change {
            case .stored(let record): records[record.key] = record
            case .removed(let key): records[key] = nil
            }
        }
    }

    func save(own record: SignedRecord, done: @escaping (Bool) -> Void) {
        lastIssue = record.issue
        let isShown = world.isPublisher(self) && kind != .pretender
        if isShown { world.published[record.tag, default: [:]][record.issue] = record }
        let epoch = epoch
        world.after(.milliseconds(1)) { [unowned self] in
            guard self.epoch == epoch else { return }
            done(isShown)
            if kind == .pretender { publishLie() }
        }
    }

    func save(_ met: MetAddress) {}
    func seedAnswered(_ seed: String, at moment: UnixTime) {}
    func record(_ samples: [NodeSample]) {}
    func record(_ sample: BandwidthSample) {}
}

// MARK: Sessions to relays

extension MeshNode: RelaySelectorHost {
    private static let pingInterval = Instant.Span.milliseconds(500)

    var candidates: [RelayCandidate] { mesh?.candidates ?? [] }
    var costs: [NodeKey: Instant.Span] { sessions.compactMapValues { RelayFigures($0.figures, at: world.now).cost } }
    var outcomes: [NodeKey: RelayOutcome] {
        Dictionary(uniqueKeysWithValues: sessions.keys.map { ($0, RelayOutcome([world.outcome(at: $0)])) })
    }
    var waitsForNamed: Bool { false }

    func former(among candidates: [RelayCandidate]) -> (keys: Set<NodeKey>, outlooks: [FirstChoice.Outlook]) {
        ([], [])
    }

    func carryOut(failoverAction action: Failover.Action) {
        switch action {
        case .connect(let key): world.connect(self, to: key)
        case .leave(let key, _): sessions[key] = nil
        case .doubt, .publish: break
        }
    }

    func connected(to key: NodeKey, _ isOpen: Bool) {
        guard isOpen else { return selector?.lost(key) ?? () }
        sessions[key] = RelayLatency()
        selector?.established(key, isNamed: false)
        selector?.outcomesChanged()
    }

    private func ping() {
        for key in sessions.keys.sorted(by: { $0.tag < $1.tag }) {
            guard let roundTrip = world.roundTrip(self, key) else { continue }
            _ = sessions[key]?.measured(roundTrip, at: world.now)
            mesh?.measured(roundTrip, of: key)
            selector?.heard(key)
        }
        _ = wake(after: Self.pingInterval) { [weak self] in self?.ping() }
    }
}

// MARK: Signatures

struct SealedSignatures: MeshSignatures {
    let seal: Seal

    var key: NodeKey { seal.key }
    func sign(_ record: NodeRecord) throws(WireError) -> SignedRecord { seal.sign(record) }
    func sign(_ content: DialBackStatement.Content) -> DialBackStatement { seal.sign(content) }
    func isGenuine(_ record: SignedRecord) -> Bool { Seal.isGenuine(record) }
    func isGenuine(_ statement: DialBackStatement, of subject: NodeKey) -> Bool {
        Seal.isStatement(statement, subject)
    }
}

/// Judges at once.
final class InlineJudge: RecordJudging {
    private let signatures: SealedSignatures

    init(_ signatures: SealedSignatures) { self.signatures = signatures }

    func judge(_ records: [SignedRecord], _ done: @escaping ([SignedRecord: Bool]?) -> Void) {
        done(RecordJudge.judged(records, by: signatures))
    }

    func stop() {}
}
