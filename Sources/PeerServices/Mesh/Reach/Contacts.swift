internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// A node that can be asked, and where.
struct Contact {
    var key: NodeKey
    var endpoint: Endpoint
    /// The same, where it is known by its row and has not answered this node yet.
    var stranger: NodeAddress?
    var word = Word.others
}

/// Who of the directory can be asked what it sees, and whose word counts. Belongs to the control loop.
final class Contacts {
    /// Nodes are drawn so often to find a stranger among them.
    private static let draws = 24
    private static let witnessesSpan = Instant.Span.seconds(3)

    private let context: MeshContext
    private let directory: Directory
    /// Nodes that could bear witness and where they are, when that was counted last.
    private var counted: (places: [NodeKey: HostAddress], at: Instant)?

    init(_ context: MeshContext, _ directory: Directory) {
        self.context = context
        self.directory = directory
    }

    func keyRotated() { counted = nil }

    /// Those that answer questions: seeds whose keys are known, and nodes that others have reached and this one has
    /// dialled. What rows say alone makes nobody a contact; otherwise whoever makes them up decides how many witnesses
    /// are asked for.
    func known(at now: Instant) -> [Contact] {
        var contacts: [Contact] = []
        for seed in directory.gossip.book.seeds {
            guard let key = directory.key(ofSeed: seed), key != context.own, let endpoint = Endpoint(seed) else {
                continue
            }
            contacts.append(Contact(key: key, endpoint: endpoint, word: directory.seeds.word(of: seed)))
        }
        let table = directory.table
        for tag in table.contacts {
            guard let record = table.record(tag: tag), record.key != context.own,
                let address = provenAddress(of: record, now), isWitnessed(record, table)
            else { continue }
            contacts.append(Contact(key: record.key, endpoint: Endpoint(address)))
        }
        return contacts
    }

    /// One that others say they have reached, and that has not answered this node yet.
    func stranger(
        at now: Instant, besides known: Set<NodeKey>, using random: inout SeededGenerator
    ) -> Contact? {
        let table = directory.table
        guard !table.contacts.isEmpty else { return nil }
        for _ in 0..<Self.draws {
            let tag = table.contacts[Int.random(in: table.contacts.indices, using: &random)]
            guard let record = table.record(tag: tag), record.key != context.own, !known.contains(record.key),
                isWitnessed(record, table),
                let address = record.record.addresses.first(where: { context.dialGuard.allows($0.host) }),
                directory.gossip.hosts.mayDial(record.key, at: address, rows: table.count, at: now, using: &random)
            else { continue }
            return Contact(key: record.key, endpoint: Endpoint(address), stranger: address)
        }
        return nil
    }

    /// Nodes that could bear witness, and where: they answer this node, and others have reached them. Counted anew
    /// every few seconds.
    func witnesses(at now: Instant) -> [NodeKey: HostAddress] {
        if let counted, now - counted.at < Self.witnessesSpan { return counted.places }
        let table = directory.table
        var places: [NodeKey: HostAddress] = [:]
        for tag in table.contacts {
            guard let record = table.record(tag: tag), record.key != context.own,
                let address = provenAddress(of: record, now),
                directory.gossip.hosts.isThere(record.key, at: address.host, now), isWitnessed(record, table)
            else { continue }
            places[record.key] = address.host
        }
        counted = (places, now)
        return places
    }

    /// How many different ones there are, where keys alone say nothing; each node where the user has many at one
    /// address.
    func sources(of hosts: some Collection<HostAddress>) -> Int {
        context.setup.isWidened ? hosts.count : Set(hosts.map(SourceGate.source)).count
    }

    /// The same, of contacts: each host is one.
    func sources(of contacts: [Contact]) -> Int {
        context.setup.isWidened ? contacts.count : Set(contacts.map(\.endpoint.host)).count
    }

    /// Where a node of the table has answered this one.
    private func provenAddress(of record: SignedRecord, _ now: Instant) -> NodeAddress? {
        record.record.addresses.first {
            directory.gossip.hosts.isProven(record.key, at: $0.host, now) && context.dialGuard.allows($0.host)
        }
    }

    /// Whether somebody that is known says that it has reached it. The signatures are not judged here.
    private func isWitnessed(_ record: SignedRecord, _ table: RecordTable) -> Bool {
        record.record.witnesses.contains { statement in
            statement.witness != record.key
                && (statement.witness == context.own || table[statement.witness] != nil)
        }
    }
}
