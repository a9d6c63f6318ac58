internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Telling relays where this node reaches them: for relays that have nobody to ask. Belongs to the control loop.
final class Vouching {
    private let context: MeshContext
    private let client: MeshClient
    private let directory: Directory
    private var plan = VouchPlan()

    init(_ context: MeshContext, _ directory: Directory) {
        self.context = context
        client = directory.client
        self.directory = directory
    }

    /// Once a second.
    func tick(at now: Instant) {
        let sessions = context.host.sessionAddresses.filter { isOfUse($0.key, $0.address) }
        let places = Dictionary(sessions.map { ($0.key, $0.address) }) { first, _ in first }
        for key in plan.due(places.keys.sorted { $0.tag < $1.tag }, at: now) {
            guard let address = places[key] else { continue }
            let statement = context.signatures.sign(
                .init(subject: key, witness: context.own, time: directory.time, address: address))
            // A connection of its own: what is said is that it came through just now.
            let question = client.request(Vouch(statement).bytes, to: Endpoint(address), key, isAlone: true)
            client.ask(question) { [weak self] result in
                guard let self, case .success(let answer) = result, answer.status == 200 else { return }
                plan.answered(key, at: context.now)
            }
        }
    }

    /// Whether this node sees that relay from outside, as far as it may say so, and nobody has said it who was asked:
    /// those can be dialled themselves.
    private func isOfUse(_ key: NodeKey, _ address: NodeAddress) -> Bool {
        guard context.dialGuard.allows(address.host), !context.dialGuard.isOwn(address.host) else { return false }
        let table = directory.table
        return table[key]?.record.witnesses.allSatisfy { statement in
            table[statement.witness]?.record.addresses.isEmpty ?? true
        } ?? true
    }
}
