public import PeerCore
import PeerWire

/// The keys that sign a relay's tokens, each an Ed25519 private key as `KeyFile` writes it: `token.key`, and after a
/// rotation `token.key.previous`, with a line before the key that says until when its tokens count.
public struct TokenKeyFiles: Hashable, Sendable {
    public struct Previous: Hashable, Sendable {
        public var seed: [UInt8]
        public var validUntil: WallTime

        public init(seed: [UInt8], validUntil: WallTime) {
            self.seed = seed
            self.validUntil = validUntil
        }
    }

    public var current: [UInt8]
    public var previous: Previous?

    /// What is in a home; where there is no key yet, one is made from `makeSeed` (32 random bytes).
    public static func loadOrCreate(in home: Home, makeSeed: () -> [UInt8]) throws(StorageError) -> TokenKeyFiles {
        try home.requireHeld()
        if let known = try load(home.paths) { return known }
        let seed = makeSeed()
        try check(seed, home.paths.tokenKey)
        _ = try SecretFile.create(Array(KeyFile.pem(seed).utf8), at: home.paths.tokenKey)
        return TokenKeyFiles(current: seed, previous: nil)
    }

    /// `nil` when no token was ever issued here.
    public static func load(_ paths: HomePaths) throws(StorageError) -> TokenKeyFiles? {
        guard let bytes = try SecretFile.read(at: paths.tokenKey) else { return nil }
        guard let current = KeyFile.seed(inPEM: String(decoding: bytes, as: UTF8.self)) else {
            throw damaged(paths.tokenKey)
        }
        return TokenKeyFiles(current: current, previous: try loadPrevious(paths.previousTokenKey))
    }

    /// Makes `seed` the key that signs, and the one that did so until now the previous one. A crash in between leaves
    /// the old key in both files, which is the state before.
    public func rotate(
        in home: Home, to seed: [UInt8], previousValidUntil: WallTime
    ) throws(StorageError) -> TokenKeyFiles {
        try home.requireHeld()
        try Self.check(seed, home.paths.tokenKey)
        let text = "\(Self.mark)\(RFC3339.text(unixSeconds: previousValidUntil.seconds))\n\(KeyFile.pem(current))"
        _ = try Disk.writeAtomically(
            Array(text.utf8), to: home.paths.previousTokenKey, mode: 0o600, placement: .replacing)
        _ = try Disk.writeAtomically(
            Array(KeyFile.pem(seed).utf8), to: home.paths.tokenKey, mode: 0o600, placement: .replacing)
        return TokenKeyFiles(current: seed, previous: Previous(seed: current, validUntil: previousValidUntil))
    }

    /// Stands before the key, where the format has room for explanations (RFC 7468, section 2).
    private static let mark = "valid until "

    private static func loadPrevious(_ path: String) throws(StorageError) -> Previous? {
        guard let bytes = try SecretFile.read(at: path) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstIndex(of: "\n"), text.hasPrefix(mark),
            let time = RFC3339.unixSeconds(of: String(text[..<end].dropFirst(mark.count))),
            let seed = KeyFile.seed(inPEM: String(text[text.index(after: end)...]))
        else { throw damaged(path) }
        return Previous(seed: seed, validUntil: WallTime(seconds: time))
    }

    private static func check(_ seed: [UInt8], _ path: String) throws(StorageError) {
        guard seed.count == KeyFile.seedLength else {
            throw StorageError(
                .invalid, path: path, detail: "a seed has \(KeyFile.seedLength) bytes, not \(seed.count)")
        }
    }

    private static func damaged(_ path: String) -> StorageError {
        StorageError(
            .damaged, path: path, detail: "this is no Ed25519 private key for tokens",
            advice: "put it back from a backup, or move it away yourself: then the tokens that it signed end")
    }
}
