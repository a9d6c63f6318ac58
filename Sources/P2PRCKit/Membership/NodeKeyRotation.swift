internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// A new node key in a home, and what makes it the old one's successor.
struct NodeKeyRotation {
    var seed: [UInt8]
    var identity: NodeIdentity
    var history: KeyHistory
    /// What to tell people.
    var text: String

    /// Writes both down; nobody knows of them yet.
    ///
    /// - Parameters:
    ///   - identity: the present one.
    ///   - keepSeconds: for so long the former key's name counts; 0: nothing connects the new key with it.
    static func carryOut(
        in home: Home, from identity: NodeIdentity, _ history: KeyHistory, keepSeconds: Int64, isRelay: Bool
    ) throws(CommandError) -> NodeKeyRotation {
        guard (0...KeySuccession.maximumSeconds).contains(keepSeconds) else {
            throw CommandError(
                .usage, "--keep \(Age.text(keepSeconds)): at most \(KeySuccession.maximumSeconds / 86_400)d")
        }
        let seed = SystemRandomNumberGenerator.bytes(NodeIdentity.seedByteCount)
        guard let next = NodeIdentity(seed: seed) else { throw CommandError(.failure, "no key could be made") }
        let now = WallTime.now.seconds
        var renewed = KeyHistory()
        if keepSeconds > 0 {
            renewed = history.valid(at: now)
                .adding(KeySuccession(from: identity, to: next, made: now, until: now + keepSeconds))
        }
        do throws(StorageError) { try KeyHistoryFile.rotate(in: home, to: seed, history: renewed) } catch {
            throw CommandError(error)
        }
        return NodeKeyRotation(
            seed: seed, identity: next, history: renewed,
            text: text(next.key, keepSeconds: keepSeconds, end: now + keepSeconds, isRelay: isRelay))
    }

    private static func text(_ key: NodeKey, keepSeconds: Int64, end: Int64, isRelay: Bool) -> String {
        guard keepSeconds > 0 else {
            return
                "this node has the key \(key), and nothing connects it with the former one: its ports and tokens are "
                + "another node's now, and whoever pinned the former key must accept this one (p2prc trust)"
        }
        let end = RFC3339.text(unixSeconds: end)
        let members = isRelay ? ", and members that connect by then (later: p2prc trust)" : ""
        return
            "this node has the key \(key); relays that it comes to by \(end) move its ports to it and refuse the "
            + "former one\(members) follow; the former private key is gone from this home"
    }
}

extension NodeController {
    func rotateNodeKey(keepSeconds: Int64) -> ControlReply {
        let rotation: NodeKeyRotation
        do throws(CommandError) {
            rotation = try NodeKeyRotation.carryOut(
                in: home, from: keys.identity, keys.history, keepSeconds: keepSeconds, isRelay: relay != nil)
            do throws(TLSFailure) {
                try keys.rotate(to: rotation.identity, seed: rotation.seed, history: rotation.history)
            } catch {
                throw CommandError(
                    .failure, "the new key is written down, but cannot be used: \(error); restart the node")
            }
        } catch { return ControlReply(status: error.status, text: error.text, document: nil) }
        Task { [tokens] in await tokens.renew(rotation.identity.key, rotation.history) }
        relay?.keyRotated()
        peer.keyRotated()
        mesh?.keyRotated(seed: rotation.seed)
        changed()
        return ControlReply(
            status: .success, text: rotation.text, document: Self.document(["Key": keys.key.description]))
    }
}

extension Commands {
    /// - Parameter keep: for how long the former key's name counts, as `Age` reads it.
    public func rotateNodeKey(keep: String) async throws(CommandError) -> ExitStatus {
        guard let seconds = Age.seconds(keep) else {
            throw CommandError(
                .usage, "--keep \(keep): write a number of days, hours, minutes or seconds, such as 30d or 12h")
        }
        guard try inspect() != nil else {
            throw CommandError(.notRunning, "no node ever ran with the home \(home); start one: p2prc -s")
        }
        let verb = RotateNodeKeyVerb(keepSeconds: seconds)
        return finish(
            try await HomeAccess.answer(to: verb, in: home) { held throws(CommandError) in
                try Self.rotateNodeKey(in: held, keepSeconds: seconds)
            })
    }

    private static func rotateNodeKey(in held: Home, keepSeconds: Int64) throws(CommandError) -> ControlReply {
        let identity: NodeIdentity
        let history: KeyHistory
        do throws(StorageError) {
            guard let seed = try KeyFile.load(at: held.paths.nodeKey), let known = NodeIdentity(seed: seed) else {
                throw StorageError(
                    .missing, path: held.paths.nodeKey, detail: "there is no node key", advice: "start the node once")
            }
            identity = known
            history = try KeyHistoryFile.load(held.paths, of: known.key, at: WallTime.now.seconds)
        } catch { throw CommandError(error) }
        let rotation = try NodeKeyRotation.carryOut(
            in: held, from: identity, history, keepSeconds: keepSeconds, isRelay: true)
        return ControlReply(
            status: .success, text: rotation.text,
            document: NodeController.document(["Key": rotation.identity.key.description]))
    }
}
