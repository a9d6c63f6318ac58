/// The first eight bytes of every plaintext stream between nodes: five letters, what the stream is, and the version.
///
/// ```
/// 70 32 70 72 63 | kind | version (2)
/// "p2prc"          's'    00 01
/// ```
/// The letters tell it from TLS (0x16) and from HTTP (capitals), so that one port serves them all.
public struct Preamble: Hashable, Sendable {
    public static let byteCount = 8
    /// The one version of the protocol that this program speaks.
    public static let version: UInt16 = 1
    static let letters: [UInt8] = Array("p2prc".utf8)

    public enum Kind: UInt8, Sendable {
        /// A session: frames both ways (docs/protocol.md, "Session").
        case session = 0x73  // 's'
        /// A data channel: one visitor's bytes (docs/protocol.md, "Data channel").
        case data = 0x64  // 'd'
        /// The answer to a version that is not spoken here; `version` is the highest that is.
        case versionAnswer = 0x76  // 'v'
        /// A check from outside: a nonce that must come back through the tunnel.
        case check = 0x6e  // 'n'
        /// The answer to a check.
        case checkAnswer = 0x61  // 'a'
    }

    public var kind: Kind
    public var version: UInt16

    public init(kind: Kind, version: UInt16 = Preamble.version) {
        self.kind = kind
        self.version = version
    }

    public var bytes: [UInt8] {
        Self.letters + [kind.rawValue, UInt8(truncatingIfNeeded: version >> 8), UInt8(truncatingIfNeeded: version)]
    }

    /// What the beginning of a stream says so far.
    public enum Reading: Equatable, Sendable {
        /// Could still become a preamble.
        case incomplete
        case preamble(Preamble)
        /// Is none, whatever follows.
        case foreign
    }

    /// Judges as early as it can: a wrong first byte is enough.
    public static func read(_ bytes: some Collection<UInt8>) -> Reading {
        for (expected, actual) in zip(letters, bytes) where expected != actual { return .foreign }
        let rest = Array(bytes.dropFirst(letters.count).prefix(3))
        guard let letter = rest.first else { return .incomplete }
        guard let kind = Kind(rawValue: letter) else { return .foreign }
        guard rest.count == 3 else { return .incomplete }
        return .preamble(Preamble(kind: kind, version: UInt16(rest[1]) << 8 | UInt16(rest[2])))
    }
}
