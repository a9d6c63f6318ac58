internal import PeerMesh
internal import PeerStorage
internal import PeerWire

/// What both a starting node and a command without a running node do in a home.
enum HomeAccess {
    /// Locks it for this process.
    static func open(_ path: String) throws(CommandError) -> Home {
        do throws(HomeError) { return try Home.open(at: path) } catch {
            if case .inUse = error { throw CommandError(.homeInUse, "\(error)") }
            throw CommandError(.homeUnusable, "\(error)")
        }
    }

    static func commandError(_ error: StorageError) -> CommandError {
        switch error.kind {
        case .damaged, .newer: CommandError(.damaged, "\(error)")
        case .full, .denied, .missing, .notAFile, .exposed, .busy, .invalid, .notHeld, .failed:
            CommandError(.homeUnusable, "\(error)")
        }
    }

    /// This node's own mesh key. A relay without one takes over the only one that it joined with, so that it belongs
    /// to the same mesh, or makes one.
    static func meshKey(
        _ home: Home, _ memberships: Memberships, isRelay: Bool
    ) throws(StorageError) -> (MeshKeyFile?, isNew: Bool) {
        guard isRelay else { return (try MeshKeyFile.load(at: home.paths.meshKey), false) }
        let joined = Set(memberships.relays.values.compactMap(\.meshKey))
        return try MeshKeyFile.loadOrCreate(at: home.paths.meshKey) {
            joined.count == 1 ? joined.first?.bytes ?? [] : randomBytes(MeshKey.byteCount)
        }
    }

    static func randomBytes(_ count: Int) -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
    }
}
