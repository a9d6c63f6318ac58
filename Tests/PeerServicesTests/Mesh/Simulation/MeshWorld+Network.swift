import PeerCore
import PeerReactor
import PeerWire
import SimulationSupport

@testable import PeerProbing
@testable import PeerServices

extension MeshWorld {
    /// What went over the network.
    struct Traffic {
        var bytes = 0
        /// Digests that were sent.
        var exchanges = 0
        /// The largest sum of bytes that one asker's round took.
        var largestRound = 0
        var roundBytes: [Int: (round: Int, bytes: Int)] = [:]
        /// When nodes dialled hosts where nobody is, by node and host; seconds.
        var dials: [String: [Int]] = [:]
    }

    /// A question is under way: who asks, and how it ends.
    private final class Transfer {
        let request: NodeRequest
        let node: MeshNode
        private let epoch: Int
        private var done: ((Result<NodeAnswer, NodeFailure>) -> Void)?

        init(_ request: NodeRequest, _ node: MeshNode, _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void) {
            self.request = request
            self.node = node
            epoch = node.epoch
            self.done = done
        }

        /// The first end counts, and none where the asker is gone.
        func end(_ result: Result<NodeAnswer, NodeFailure>) {
            let done = done
            self.done = nil
            if node.epoch == epoch { done?(result) }
        }
    }

    func seed(for node: MeshNode) -> Endpoint { Endpoint(nodes[0].address) }
    func relay(_ key: NodeKey) -> MeshNode? { byTag[key.tag] }

    // MARK: Ways

    private func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &random) < share }

    func distance(_ one: MeshNode, _ other: MeshNode) -> Double {
        let (x, y) = (one.place.x - other.place.x, one.place.y - other.place.y)
        return 1 + (x * x + y * y).squareRoot()
    }

    /// One way; `nil` where it is lost.
    private func passage(_ one: MeshNode, _ other: MeshNode) -> Instant.Span? {
        guard isOpen(one, other), !chance(plan.loss) else { return nil }
        return .microseconds(UInt64(distance(one, other) * 500) + UInt64(any(5_000)))
    }

    private func isOpen(_ one: MeshNode, _ other: MeshNode) -> Bool { !isCut || one.side == other.side }

    /// A body on a connection: whatever segment is lost comes again 200 ms later, twice as late each time, until
    /// nobody waits any more.
    private func delay(of bytes: Int, _ one: MeshNode, _ other: MeshNode) -> Instant.Span? {
        guard isOpen(one, other) else { return nil }
        var span = Instant.Span.microseconds(UInt64(distance(one, other) * 500) + UInt64(any(5_000)))
        for _ in 0...(bytes / 1_400) {
            var pause: UInt64 = 200
            while chance(plan.loss) {
                guard pause < 5_000 else { return nil }
                span = span + .milliseconds(pause)
                pause *= 2
            }
        }
        return span
    }

    /// Of a ping; `nil` where it or its answer is lost.
    func roundTrip(_ node: MeshNode, _ key: NodeKey) -> Instant.Span? {
        guard let relay = relay(key), relay.isPublic, relay.isUp, let there = passage(node, relay),
            let back = passage(relay, node)
        else { return nil }
        return there + back
    }

    // MARK: Questions

    /// A question of one node to whoever is at that address, on a connection of its own.
    func carry(
        _ request: NodeRequest, from node: MeshNode, _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void
    ) {
        let transfer = Transfer(request, node, done)
        if request.body?.first == GossipDigest.kind { traffic.exchanges += 1 }
        guard let host = HostAddress(request.host), let other = byHost[host], other !== node else {
            if let host = HostAddress(request.host) { noteDial(node, host) }
            // Nobody is there: a connection is refused.
            return after(.milliseconds(100)) { transfer.end(.failure(NodeFailure(.unreachable, "nobody is there"))) }
        }
        if request.body?.first == NonceDelivery.kind, request.key != other.key {
            fail("\(node.number) was made to dial a third host")
        }
        after(request.limits.total) { transfer.end(.failure(NodeFailure(.late, "there was no answer in time"))) }
        guard other.isPublic, other.isUp, let setUp = delay(of: 600, node, other) else { return }
        if let key = request.key, key != other.key {
            return after(setUp) { transfer.end(.failure(NodeFailure(.stranger, "somebody else is there"))) }
        }
        guard let body = request.body else {
            return answer(transfer, by: other, status: 200, [], proof: nil, setUp: setUp, asked: now)
        }
        let lied = lie(body, node)
        let asked = now
        deliver(lied.count, from: node, to: other, counted: node) { [unowned self] in
            guard let mesh = other.mesh else { return }
            let source = NodeAddress(host: node.address.host, port: 50_000)!
            let question = MeshQuestion(key: node.key, source: source, proof: request.proof, body: lied)
            let epoch = other.epoch
            mesh.asked(question) { [unowned self] response in
                guard other.epoch == epoch else { return }
                switch response {
                case .answer(let bytes, let proof):
                    answer(
                        transfer, by: other, status: 200, lie(bytes, other), proof: proof, setUp: setUp, asked: asked)
                case .busy: answer(transfer, by: other, status: 429, [], proof: nil, setUp: setUp, asked: asked)
                case .malformed: answer(transfer, by: other, status: 400, [], proof: nil, setUp: setUp, asked: asked)
                case .stranger: answer(transfer, by: other, status: 403, [], proof: nil, setUp: setUp, asked: asked)
                }
            }
        }
    }

    private func answer(
        _ transfer: Transfer, by other: MeshNode, status: Int, _ body: [UInt8], proof: String?, setUp: Instant.Span,
        asked: Instant
    ) {
        deliver(body.count, from: other, to: transfer.node, counted: transfer.node) { [unowned self] in
            transfer.end(
                .success(
                    NodeAnswer(
                        status: status, body: body, key: other.key, proof: proof, remote: other.address,
                        local: transfer.node.address, distance: setUp + setUp, setUp: setUp + setUp + setUp,
                        roundTrip: now - asked, transfer: now - asked)))
        }
    }

    private func deliver(
        _ bytes: Int, from one: MeshNode, to other: MeshNode, counted node: MeshNode, _ arrive: @escaping () -> Void
    ) {
        count(bytes, node)
        guard let span = delay(of: bytes, one, other) else { return }
        after(span, arrive)
    }

    /// By the rounds of the node that asks.
    private func count(_ bytes: Int, _ node: MeshNode) {
        traffic.bytes += bytes
        let round = node.gossip?.counts.rounds ?? 0
        let former = traffic.roundBytes[node.number].flatMap { $0.round == round ? $0.bytes : nil } ?? 0
        traffic.roundBytes[node.number] = (round, former + bytes)
        traffic.largestRound = max(traffic.largestRound, former + bytes)
    }

    // MARK: Lies

    /// What a liar makes of records that it sends.
    private func lie(_ body: [UInt8], _ node: MeshNode) -> [UInt8] {
        guard node.isLiar, body.first == GossipDifference.kind, var difference = try? GossipDifference(body) else {
            return body
        }
        difference.records += node.lies(among: difference.records)
        return difference.bytes
    }

    static let falseAddress = NodeAddress.number(0xabcdef)

    /// A liar says that it has reached node 0 where that is not.
    func vouchFalsely(_ node: MeshNode) {
        let relay = nodes[0]
        guard node.isUp, relay.isUp else { return }
        let statement = node.seal.sign(
            .init(subject: relay.key, witness: node.key, time: wall.seconds, address: Self.falseAddress))
        let request = NodeRequest(
            host: relay.address.host.description, port: relay.address.port, key: relay.key, path: MeshClient.path,
            body: Vouch(statement).bytes, proof: proof(of: node.key, to: relay.key))
        carry(request, from: node) { _ in }
    }

    private func proof(of key: NodeKey, to other: NodeKey) -> String? {
        MemberProof.text(of: key, to: other, with: [Self.meshKey])
    }

    /// Somebody posts records to a public node, drawn at random. Returns whether they were looked at.
    func call(_ records: [SignedRecord], from caller: Gossip.Caller) -> Bool {
        let open = nodes.filter { $0.isPublic && $0.isUp }
        guard !open.isEmpty else { return false }
        let node = open[any(open.count)]
        let difference = GossipDifference(time: wall.seconds, room: 0, records: records)
        let question = MeshQuestion(
            key: caller.key, source: NodeAddress(host: caller.host, port: 50_000)!,
            proof: proof(of: caller.key, to: node.key), body: difference.bytes)
        var isTaken = false
        node.mesh?.asked(question) { if case .answer = $0 { isTaken = true } }
        return isTaken
    }

    // MARK: Dials

    private func noteDial(_ node: MeshNode, _ host: HostAddress) {
        traffic.dials["\(node.number) \(host)", default: []].append(Int(now.nanoseconds / 1_000_000_000))
    }

    /// Seconds at which anybody dialled that host.
    func strangersDials(_ host: HostAddress) -> [Int] {
        traffic.dials.filter { $0.key.hasSuffix(" \(host)") }.flatMap(\.value).sorted()
    }

    // MARK: Sessions

    /// What visitors get at a relay.
    func outcome(at key: NodeKey) -> MappingOutcome { relay(key)?.kind == .hollow ? .fails(.unreachable) : .works }

    func connect(_ node: MeshNode, to key: NodeKey) {
        guard let target = relay(key) else { return fail("a session to a key that nobody has") }
        if target.kind == .pretender { connectedToPretender = true }
        let epoch = node.epoch
        after(.milliseconds(UInt64(3 * distance(node, target)))) { [unowned self] in
            guard node.epoch == epoch else { return }
            node.connected(to: key, target.isPublic && target.isUp && isOpen(node, target))
        }
    }
}
