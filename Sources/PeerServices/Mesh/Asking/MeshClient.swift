internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// On whose word a node is dialled.
enum Word: Hashable, Sendable {
    case users
    /// Records, seeds out of files and from P2PRC nodes, and whoever asks for a dial-back: held to `DialGuard`.
    case others
}

/// Carries a question to another node and brings the answer back.
protocol MeshNetwork: AnyObject {
    /// - Parameter done: called once, on the control loop; each question has its time-out.
    func send(_ request: NodeRequest, _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void)
    /// The node has another key.
    func renew(seed: [UInt8])
    func stop()
}

/// HTTPS, by `NodeClient`.
final class HTTPSNetwork: MeshNetwork {
    private let loop: EventLoop
    private let client: NodeClient

    init(_ client: NodeClient, on loop: EventLoop) {
        self.loop = loop
        self.client = client
    }

    func send(_ request: NodeRequest, _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void) {
        let bound = LoopBound(done, on: loop)
        client.send(request) { [loop] result in loop.execute { bound.value(result) } }
    }

    func renew(seed: [UInt8]) { client.renew(seed: seed) }
    func stop() { client.stop() }
}

/// Whoever keeps where nodes answer.
protocol AnswerLedger: AnyObject {
    func answered(_ key: NodeKey, at address: NodeAddress)
    /// There was no answer, though there may have been one before.
    func missed(_ key: NodeKey, at host: HostAddress)
}

/// Asks other nodes: all that the mesh dials goes through here. Belongs to the control loop.
final class MeshClient {
    static let path = "/v1/mesh"
    /// A SYN that got no answer is repeated after a second.
    static let firstConnect = Instant.Span.milliseconds(900)

    private let context: MeshContext
    private let network: any MeshNetwork
    weak var ledger: (any AnswerLedger)?

    init(_ context: MeshContext, over network: any MeshNetwork) {
        self.context = context
        self.network = network
    }

    func renew(seed: [UInt8]) { network.renew(seed: seed) }
    func stop() { network.stop() }

    /// Whether others' word is enough to dial a node there.
    func isAllowed(_ endpoint: Endpoint) -> Bool {
        HostAddress(endpoint.host).map { context.dialGuard.allows($0, port: endpoint.port, for: .node) } ?? false
    }

    /// A question of the mesh to a node, with this node's proof of membership.
    func request(
        _ body: [UInt8], to endpoint: Endpoint, _ key: NodeKey, isAlone: Bool = false,
        limits: NodeRequest.Limits = .init()
    ) -> NodeRequest {
        var request = NodeRequest(
            host: endpoint.host, port: endpoint.port, key: key, path: Self.path, body: body,
            proof: MemberProof.text(of: context.own, to: key, with: context.host.knownMeshKeys), limits: limits)
        request.isAlone = isAlone
        return request
    }

    /// Asks which node is there, and for nothing else: a proof of membership is for one key.
    func meet(
        _ endpoint: Endpoint, on word: Word, _ done: @escaping (Result<NodeKey, NodeFailure>) -> Void
    ) {
        let question = NodeRequest(
            host: endpoint.host, port: endpoint.port, key: nil, path: "/v1/alive", limits: .init(answer: 256))
        ask(question, on: word) { done($0.map(\.key)) }
    }

    /// - Parameter done: called once, later.
    func ask(
        _ request: NodeRequest, on word: Word = .others,
        _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void
    ) {
        guard word == .users || isAllowed(Endpoint(host: request.host, port: request.port)) else {
            let refusal = NodeFailure(.unreachable, "it may not be dialled on others' word")
            _ = context.time.wake(after: .zero) { done(.failure(refusal)) }
            return
        }
        network.send(request) { [weak ledger] result in
            switch result {
            case .success(let answer): ledger?.answered(answer.key, at: answer.remote)
            case .failure(let failure):
                if failure.kind != .crowded, let key = request.key, let host = HostAddress(request.host) {
                    ledger?.missed(key, at: host)
                }
            }
            done(result)
        }
    }

    /// Whether the other end belongs to this mesh: who only holds the address of a seed learns nothing of it.
    func isMember(_ answer: NodeAnswer) -> Bool {
        if context.host.hasSession(with: answer.key) { return true }
        guard let proof = answer.proof else { return false }
        return MemberProof.isValid(
            proof, of: answer.key, to: context.own, with: context.host.knownMeshKeys)
    }
}

extension Endpoint {
    init(_ address: NodeAddress) { self.init(host: address.host.description, port: address.port) }
}
