internal import PeerCore
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// What both a starting node and a command without a running node do in a home.
enum HomeAccess {
    /// While a node starts it holds its home and does not answer yet: this often, and so far apart, it is asked again.
    private static let tries = 20
    private static let pause = Duration.milliseconds(100)

    /// Locks it for this process.
    static func open(_ path: String) throws(CommandError) -> Home {
        do throws(HomeError) { return try Home.open(at: path) } catch { throw CommandError(error) }
    }

    /// `nil` when there is no such home yet.
    static func inspect(_ path: String) throws(CommandError) -> HomePaths? {
        do throws(HomeError) { return try Home.inspect(at: path) } catch {
            if case .missing = error { return nil }
            throw CommandError(error)
        }
    }

    /// What the running node answers; where none runs, `body` does it in the home itself, which no node can start with
    /// meanwhile.
    static func answer(
        to verb: some Verb<NodeController>, in path: String,
        orWithout body: (Home) async throws(CommandError) -> ControlReply
    ) async throws(CommandError) -> ControlReply {
        var attempt = 1
        while true {
            if let paths = try inspect(path), let reply = try ControlClient.ask(verb, socket: paths.controlSocket) {
                return reply
            }
            if let held = try take(path, isLastTry: attempt == tries) {
                defer { held.close() }
                return try await body(held)
            }
            attempt += 1
            try? await Task.sleep(for: pause)
        }
    }

    /// `nil` when a node that may be just starting has it.
    private static func take(_ path: String, isLastTry: Bool) throws(CommandError) -> Home? {
        do throws(HomeError) { return try Home.open(at: path) } catch {
            if case .inUse = error, !isLastTry { return nil }
            throw CommandError(error)
        }
    }

    /// This node's own mesh key. A relay without one takes over the only one that it joined with, so that it belongs
    /// to the same mesh, or makes one.
    static func meshKey(
        _ home: Home, _ memberships: KnownRelays, isRelay: Bool
    ) throws(StorageError) -> (MeshKeyFile?, isNew: Bool) {
        guard isRelay else { return (try MeshKeyFile.load(at: home.paths.meshKey), false) }
        let joined = Set(memberships.relays.values.compactMap(\.meshKey))
        return try MeshKeyFile.loadOrCreate(at: home.paths.meshKey) {
            joined.count == 1 ? joined.first?.bytes ?? [] : SystemRandomNumberGenerator.bytes(MeshKey.byteCount)
        }
    }
}

extension CommandError {
    init(_ error: HomeError) {
        if case .inUse = error { self.init(.homeInUse, "\(error)") } else { self.init(.homeUnusable, "\(error)") }
    }

    init(_ error: StorageError) {
        switch error.kind {
        case .damaged, .newer: self.init(.damaged, "\(error)")
        case .full, .denied, .missing, .notAFile, .exposed, .busy, .invalid, .notHeld, .failed:
            self.init(.homeUnusable, "\(error)")
        }
    }
}
