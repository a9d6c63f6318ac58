internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What a command changes in the IP table: asked of the running node, or done in the home where none runs.
enum TableCommand: Codable, Sendable {
    /// host:port.
    case addSeed(String)
    /// host:port, in place of all seeds that there are.
    case addRoot(String)
    /// What the user says of this node.
    case setNote(String)
    /// At most `importBatch` at once: a request to the node is bounded.
    case importSeeds([ImportedSeed])

    static let importBatch = 128
}

/// A row of a table of P2PRC as a place to begin with.
struct ImportedSeed: Codable, Hashable, Sendable {
    var address: String
    var name: String
}

/// What it came to, for whoever runs the mesh.
struct TableOutcome: Sendable {
    enum Change: Sendable {
        case none
        /// All that there are now.
        case seeds([Seed])
        case note(String)
    }

    var reply: ControlReply
    var change = Change.none
}

/// Carries out what the command line wants of the IP table; for whoever holds the home.
enum TableEditor {
    static func carryOut(_ command: TableCommand, on table: IPTable, at now: UnixTime) async -> TableOutcome {
        do throws(StorageError) {
            switch command {
            case .addSeed(let address): return try await add(address, .user, to: table, now)
            case .addRoot(let address):
                try await table.replaceSeeds(with: Seed(address: address, source: .root, added: now))
                return try await done("\(address) is the root node now, in place of all seeds", table)
            case .setNote(let note):
                try await table.save(ownNote: note)
                let isOver = note.isEmpty
                let text = isOver ? "this node says nothing of itself any more" : "this node says of itself: \(note)"
                return TableOutcome(
                    reply: ControlReply(
                        status: .success, text: text, document: NodeController.document(["Note": note])),
                    change: .note(note))
            case .importSeeds(let rows):
                let seeds = rows.map { Seed(address: $0.address, source: .imported, name: $0.name, added: now) }
                let count = try await table.save(seeds)
                return try await done("", table, document: ImportDocument(count))
            }
        } catch {
            let error = CommandError(error)
            return TableOutcome(reply: ControlReply(status: error.status, text: error.text, document: nil))
        }
    }

    private static func add(
        _ address: String, _ source: Seed.Source, to table: IPTable, _ now: UnixTime
    ) async throws(StorageError) -> TableOutcome {
        let count = try await table.save(Seed(address: address, source: source, added: now))
        guard count.refused == 0 else {
            return TableOutcome(
                reply: ControlReply(
                    status: .refused,
                    text: "\(address) was not added: there are \(IPTable.seedLimit) seeds; begin anew with --arn",
                    document: nil))
        }
        return try await done(count.added > 0 ? "\(address) is added" : "\(address) is there already", table)
    }

    private static func done(
        _ text: String, _ table: IPTable, document: (any Encodable)? = nil
    ) async throws(StorageError) -> TableOutcome {
        let seeds = try await table.seeds()
        let shown: any Encodable = document ?? SeedsDocument(seeds)
        let bytes = try? OrderedJSON.encode(shown)
        let json = bytes.map { String(decoding: $0, as: UTF8.self) }
        return TableOutcome(
            reply: ControlReply(status: .success, text: text, document: json), change: .seeds(seeds))
    }
}

/// What `--as` and `--arn` print with `--json`.
struct SeedsDocument: Encodable {
    struct Row: Encodable {
        var Address: String
        var Source: String
    }

    var Seeds: [Row]

    init(_ seeds: [Seed]) { Seeds = seeds.map { Row(Address: $0.address, Source: $0.source.rawValue) } }
}

/// What `import ip-table` prints with `--json`.
struct ImportDocument: Codable {
    var Added: Int
    var Known: Int
    /// There was no room.
    var Refused: Int
    /// Rows without an address that can be dialled.
    var Unusable = 0

    init(_ count: IPTable.SeedCount) {
        Added = count.added
        Known = count.known
        Refused = count.refused
    }
}
