public import PeerWire

/// `node.key.history`: how this node came to its present key, one change a line in hexadecimal, the oldest first. What
/// stands there is no secret; former private keys are not kept.
///
/// A damaged file is refused and left as it is: without it others take this node for a new one, or for an impostor.
public enum KeyHistoryFile {
    /// What leads to `key`; empty where there is no file.
    ///
    /// - Parameter now: seconds since 1970. What is over by then is left out.
    public static func load(_ paths: HomePaths, of key: NodeKey, at now: Int64) throws(StorageError) -> KeyHistory {
        guard let bytes = try SecretFile.read(at: paths.keyHistory) else { return KeyHistory() }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        var successions: [KeySuccession] = []
        for line in lines {
            guard let bytes = Hex.decode(String(line)), let succession = KeySuccession(bytes: bytes) else {
                throw damaged(paths, "a line of it is no change of key")
            }
            successions.append(succession)
        }
        // A rotation that a crash cut short: the change is written down, and the key is still the one before it.
        if successions.last?.former == key { successions.removeLast() }
        // Of another key: somebody moved that one away to start as a new node.
        guard successions.last?.next == key else { return KeyHistory() }
        let history = KeyHistory(successions)
        do throws(KeyHistoryFault) { _ = try history.formerKeys(of: key, at: now) } catch {
            throw damaged(paths, "it does not lead to this node's key: \(error)")
        }
        return history.valid(at: now)
    }

    /// Makes `seed` this node's key, with that history. The history comes first: a crash in between changes nothing.
    public static func rotate(
        in home: Home, to seed: [UInt8], history: KeyHistory
    ) throws(StorageError) {
        try home.requireHeld()
        let text = history.successions.map { Hex.encode($0.bytes) + "\n" }.joined()
        try SecretFile.replace(Array(text.utf8), at: home.paths.keyHistory)
        try SecretFile.replace(Array(KeyFile.pem(seed).utf8), at: home.paths.nodeKey)
    }

    private static func damaged(_ paths: HomePaths, _ detail: String) -> StorageError {
        StorageError(
            .damaged, path: paths.keyHistory, detail: detail,
            advice: "put it back from a backup, or move it away: relays and members that do not know the present key "
                + "yet then take this node for another one")
    }
}
