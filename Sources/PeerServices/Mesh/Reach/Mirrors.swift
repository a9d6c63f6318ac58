internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// What several nodes see of one port of this machine, so that its NAT shows what it does (`netcheck`). Belongs to the
/// control loop.
final class Mirrors {
    /// Nodes that are asked how this end looks.
    private static let count = 4
    /// Where ports of connections usually come from (RFC 6335, section 6).
    private static let dynamicPorts: ClosedRange<UInt16> = 49_152...65_535

    private let context: MeshContext
    private let client: MeshClient
    private let contacts: Contacts
    private var random: SeededGenerator

    init(_ context: MeshContext, _ client: MeshClient, _ contacts: Contacts) {
        self.context = context
        self.client = client
        self.contacts = contacts
        random = SeededGenerator(seed: context.setup.seed &+ 2)
    }

    /// Asks all at once. `done` is called once, with what those saw that answered.
    func observe(_ done: @escaping ([NATKind.Observation]) -> Void) {
        var hosts: Set<String> = []
        // Different hosts, for a NAT may treat each differently.
        let known = contacts.known(at: context.now).shuffled(using: &random)
        let chosen = known.filter { hosts.insert($0.endpoint.host).inserted }.prefix(Self.count)
        guard !chosen.isEmpty else { return done([]) }
        let port = UInt16.random(in: Self.dynamicPorts, using: &random)
        let gathering = Gathering(chosen.count, done)
        for contact in chosen {
            var question = client.request(MeshMirror.request, to: contact.endpoint, contact.key, isAlone: true)
            question.localPort = port
            client.ask(question, on: contact.word) { result in
                guard case .success(let answer) = result, let seen = MeshMirror.read(answer: answer.body) else {
                    return gathering.add(nil)
                }
                gathering.add(
                    NATKind.Observation(witness: contact.key, remote: answer.remote, local: answer.local, seen: seen))
            }
        }
    }
}

/// Observations as they come in, some of them not.
private final class Gathering {
    private var left: Int
    private var found: [NATKind.Observation] = []
    private let done: ([NATKind.Observation]) -> Void

    init(_ count: Int, _ done: @escaping ([NATKind.Observation]) -> Void) {
        left = count
        self.done = done
    }

    func add(_ observation: NATKind.Observation?) {
        left -= 1
        if let observation { found.append(observation) }
        if left == 0 { done(found) }
    }
}
