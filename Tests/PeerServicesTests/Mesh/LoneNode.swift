import Logging
import PeerCore
import PeerStorage
import PeerWire
import SimulationSupport

@testable import PeerProbing
@testable import PeerServices

/// One node of a mesh whose time, disk and network are the test's: questions stay where they are until the test
/// answers them.
final class LoneNode {
    struct Question {
        let request: NodeRequest
        let done: (Result<NodeAnswer, NodeFailure>) -> Void
    }

    static let meshKey = MeshKey(bytes: [UInt8](repeating: 7, count: MeshKey.byteCount))!

    let seal: Seal
    let log = LogLines()
    private(set) var mesh: MeshService!
    private var queue = EventQueue()
    private var now = Instant.at(seconds: 100)

    /// Asked by the node, and not answered yet.
    private(set) var questions: [Question] = []
    /// Own records that are to be written, and how they are answered.
    var writes: [(record: SignedRecord, done: (Bool) -> Void)] = []
    /// Whether they are written at once.
    var isDiskFast = true
    var metPlaces: [MetAddress] = []
    var bandwidths: [BandwidthSample] = []

    // What the node around the mesh says.
    var sessions: Set<NodeKey> = []
    var load = 0.0
    var isIdle = true
    var announced: [NodeRecord.Mapping] = []
    private(set) var isSuperseded = false

    init(_ number: Int = 1, _ change: (inout MeshService.Setup) -> Void = { _ in }) {
        seal = Seal(number)
        let process = ProcessStart(number: 1, instance: ProcessInstance(bytes: [UInt8](repeating: 1, count: 16))!)
        var setup = MeshService.Setup(name: "node", software: "test", port: 8_088, process: process)
        setup.seed = 1
        change(&setup)
        let context = MeshContext(
            time: self, setup: setup, signatures: SealedSignatures(seal: seal), host: self,
            dialGuard: DialGuard(widened: []), store: self, log: log.logger)
        mesh = MeshService(context, over: self, judge: InlineJudge(SealedSignatures(seal: seal)))
        mesh.start()
    }

    var key: NodeKey { seal.key }
    var own: SignedRecord? { mesh.directory.gossip.ownRecord }

    func pass(seconds: UInt64) {
        let end = now + .seconds(seconds)
        while let (instant, body) = queue.next(until: end) {
            now = max(now, instant)
            body()
        }
        now = end
    }

    // MARK: Another node

    /// The next question that waits whose body is of that kind; `nil`: one without a body.
    func question(_ kind: UInt8?) -> Question? {
        guard let index = questions.firstIndex(where: { $0.request.body?.first == kind }) else { return nil }
        return questions.remove(at: index)
    }

    /// Another node asks, from its address.
    func asks(_ body: [UInt8], _ number: Int, isMember: Bool = true, _ reply: @escaping (MeshResponse) -> Void) {
        let other = Seal(number)
        let proof = isMember ? MemberProof.text(of: other.key, to: key, with: [Self.meshKey]) : nil
        let source = NodeAddress.number(number, port: 50_000)
        mesh.asked(MeshQuestion(key: other.key, source: source, proof: proof, body: body), reply)
    }

    /// The same, where the answer comes at once.
    func asks(_ body: [UInt8], _ number: Int, isMember: Bool = true) -> MeshResponse? {
        var answer: MeshResponse?
        asks(body, number, isMember: isMember) { answer = $0 }
        return answer
    }

    /// Another node posts records to this one.
    func told(_ records: [SignedRecord], by number: Int) {
        _ = asks(GossipDifference(time: wall().seconds, room: 0, records: records).bytes, number)
    }
}

extension LoneNode.Question {
    /// Whoever has that number answers.
    func answer(_ number: Int, _ body: [UInt8], status: Int = 200, isMember: Bool = true, of asker: LoneNode) {
        let seal = Seal(number)
        let proof = isMember ? MemberProof.text(of: seal.key, to: asker.key, with: [LoneNode.meshKey]) : nil
        done(
            .success(
                NodeAnswer(
                    status: status, body: body, key: seal.key, proof: proof, remote: .number(number),
                    local: .number(1), distance: .milliseconds(20), setUp: .milliseconds(60),
                    roundTrip: .milliseconds(21), transfer: .milliseconds(25))))
    }

    func fails(_ kind: NodeFailure.Kind) { done(.failure(NodeFailure(kind, "no answer"))) }
}

extension Instant {
    static func at(seconds: UInt64) -> Instant { .zero + .seconds(seconds) }
}

extension LoneNode: Timekeeper {
    func clock() -> Instant { now }
    func wall() -> WallTime { WallTime.start + Int64(now.nanoseconds / 1_000_000_000) }
    var isSynchronized: Bool { false }

    func wake(after span: Instant.Span, _ body: @escaping () -> Void) -> any Wake {
        let wake = SimulatedWake(body)
        queue.add(now + span) { wake.fire() }
        return wake
    }
}

extension LoneNode: MeshNetwork {
    func send(_ request: NodeRequest, _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void) {
        questions.append(Question(request: request, done: done))
    }

    func renew(seed: [UInt8]) {}
    func stop() {
        let left = questions
        questions = []
        for question in left { question.fails(.broken) }
    }
}

extension LoneNode: MeshStore {
    func apply(_ changes: [Gossip.Change], at moment: UnixTime) {}
    func save(own record: SignedRecord, done: @escaping (Bool) -> Void) {
        if isDiskFast { done(true) } else { writes.append((record, done)) }
    }

    func save(_ met: MetAddress) { metPlaces.append(met) }
    func seedAnswered(_ seed: String, at moment: UnixTime) {}
    func record(_ samples: [NodeSample]) {}
    func record(_ sample: BandwidthSample) { bandwidths.append(sample) }
}

extension LoneNode: MeshHost {
    var knownMeshKeys: [MeshKey] { [Self.meshKey] }
    func hasSession(with key: NodeKey) -> Bool { sessions.contains(key) }
    func isPeerHere(_ key: NodeKey) -> Bool { sessions.contains(key) }
    var sessionAddresses: [(key: NodeKey, address: NodeAddress)] { [] }
    func pinnedKey(of address: String) -> NodeKey? { nil }
    func isNamed(_ key: NodeKey) -> Bool { false }
    var formerRelays: Set<String> { [] }
    var heldRelays: [NodeKey] { [] }
    func whetherIdle(_ answer: @escaping (Bool) -> Void) { answer(isIdle) }
    func changed() {}
    func superseded() { isSuperseded = true }
}
