import FoundationEssentials
public import PeerCore
internal import PeerWire

/// `memberships.json`: what this node knows of the relays it uses (their keys, mesh keys, tokens). 0600.
///
/// A damaged or exposed file is refused and left as it is: without it a relay with another key would be taken for new.
public actor MembershipFile {
    private nonisolated let executor = DiskExecutor(label: "p2prc.memberships")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let home: Home
    /// What the file holds, where this one wrote or was told it.
    private var saved: KnownRelays?

    public init(in home: Home, saved: KnownRelays? = nil) {
        self.home = home
        self.saved = saved
    }

    private struct Document: Codable {
        struct Relay: Codable {
            var Address: String
            var Key: String?
            var Key_from: String?
            var Key_proven: Bool?
            var Mesh_key: String?
            var Former_mesh_key: String?
            var Token: String?
            var Accepts_open: Bool?
            var Former_keys: [String]?
        }
        var memberships: [Relay]
    }

    /// Without the home's lock; none where there is no file.
    public static func load(_ paths: HomePaths) throws(StorageError) -> KnownRelays {
        guard let bytes = try SecretFile.read(at: paths.memberships) else { return KnownRelays() }
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)) else {
            throw damaged(paths, "this is no list of memberships")
        }
        var relays: [String: KnownRelays.Relay] = [:]
        for row in document.memberships {
            guard let key = value(row.Key, NodeKey.init), let meshKey = value(row.Mesh_key, MeshKey.init),
                let formerMeshKey = value(row.Former_mesh_key, MeshKey.init),
                let source = value(row.Key_from, KnownRelays.Source.init)
            else { throw damaged(paths, "the row of \(row.Address) has no proper key") }
            let formerKeys = (row.Former_keys ?? []).compactMap { NodeKey($0) }
            guard formerKeys.count == row.Former_keys?.count ?? 0 else {
                throw damaged(paths, "the row of \(row.Address) has a former key that is none")
            }
            var relay = KnownRelays.Relay(
                key: key, source: source, meshKey: meshKey, token: row.Token, acceptsOpen: row.Accepts_open ?? false,
                formerKeys: Array(formerKeys.suffix(KnownRelays.maximumFormerKeys)),
                // Older files do not say it of what a session has pinned.
                isProven: row.Key_proven ?? (source == .firstUse))
            relay.formerMeshKey = formerMeshKey
            relays[row.Address] = relay
        }
        return KnownRelays(relays: relays)
    }

    /// Whole and flushed, or not at all; what is there already is not written again.
    public func save(_ memberships: KnownRelays) throws(StorageError) {
        guard memberships != saved else { return }
        try home.requireHeld()
        let rows = memberships.relays.sorted { $0.key < $1.key }.map { address, relay in
            Document.Relay(
                Address: address, Key: relay.key?.description, Key_from: relay.source?.rawValue,
                Key_proven: relay.isProven ? true : nil, Mesh_key: relay.meshKey?.text,
                Former_mesh_key: relay.formerMeshKey?.text, Token: relay.token,
                Accepts_open: relay.acceptsOpen ? true : nil,
                Former_keys: relay.formerKeys.isEmpty ? nil : relay.formerKeys.map(\.description))
        }
        let path = home.paths.memberships
        guard let bytes = try? OrderedJSON.encode(Document(memberships: rows)) else {
            throw StorageError(.invalid, path: path, detail: "cannot write these memberships")
        }
        try SecretFile.replace(bytes, at: path)
        saved = memberships
    }

    /// `.some(nil)` for what is not there, `nil` for what is no such value.
    private static func value<Value>(_ text: String?, _ make: (String) -> Value?) -> Value?? {
        guard let text else { return .some(nil) }
        return make(text).map { .some($0) } ?? nil
    }

    private static func damaged(_ paths: HomePaths, _ detail: String) -> StorageError {
        StorageError(
            .damaged, path: paths.memberships, detail: detail,
            advice: "put it back from a backup, or move it away and join your relays anew")
    }
}
