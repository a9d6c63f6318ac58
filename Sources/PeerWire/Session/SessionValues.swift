/// Why a session ended.
public enum CloseReason: UInt8, Sendable, CaseIterable {
    /// The node stops; nothing is wrong.
    case leaving = 1
    /// Another process proved the same key later.
    case superseded = 2
    /// The node takes no sessions: it is not started with `--reverse-proxy`.
    case notARelay = 3
    /// A signature does not fit its key. (Before sessions were encrypted.)
    case badProof = 4
    /// The other end broke the protocol.
    case protocolBreach = 5
    /// Nothing was heard for too long.
    case silent = 6
    /// A limit of the node is reached.
    case limitReached = 7
    /// What let the peer in ran out.
    case expired = 8
    /// What let the peer in was taken back.
    case revoked = 9
    /// The peer proved no mesh key of this relay and holds no token of it. Nothing more is said.
    case notAMember = 10
    /// A session without TLS: an older p2prc.
    case encryptionRequired = 11

    /// For people, who may be at either end.
    public var text: String {
        switch self {
        case .leaving: "it stops"
        case .superseded: "another process with the same key took over"
        case .notARelay: "it is no relay"
        case .badProof: "a proof is wrong"
        case .protocolBreach: "the protocol was broken"
        case .silent: "it went silent"
        case .limitReached: "a limit is reached"
        case .expired: "it ran out"
        case .revoked: "it was revoked"
        case .notAMember: "it is no member"
        case .encryptionRequired: "it is not encrypted"
        }
    }
}

/// Why ports were not agreed.
public enum RefusalReason: UInt8, Sendable, CaseIterable {
    // By the relay:
    /// None of the ports that it may give out is free.
    case noPortFree = 1
    /// The very port that was asked for is used by something else on the relay's machine.
    case portTaken = 2
    /// The very port that was asked for is leased to another key.
    case portLeased = 3
    /// The port lies outside the range that the relay gives out.
    case portNotAllowed = 4
    /// The relay does not carry this protocol.
    case protocolNotSupported = 5
    /// A limit of the relay is reached.
    case limitReached = 6
    /// The relay could not write the lease down.
    case storageFailed = 7
    /// The relay could, but what let the peer in (its grant) does not go so far.
    case notGranted = 8

    // By the peer:
    /// The number is taken at the peer's own end.
    case portTakenHere = 16
    /// The peer withdrew its request.
    case withdrawn = 17
}

/// Where a mapping stands; the words are those of the listings.
public enum MappingState: UInt8, Sendable, CaseIterable {
    case requested = 1, bound, committed, active, verified
    case refused, targetDown, unreachable, offline
}

/// Random for each process of a node.
public struct ProcessInstance: Hashable, Sendable {
    public static let byteCount = 16
    public let bytes: [UInt8]

    /// `nil` unless there are exactly 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    public init(using random: inout some RandomNumberGenerator) {
        bytes = (0..<Self.byteCount).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
    }

    /// The first 8 bytes: what records have of it.
    public var short: UInt64 { bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}

/// Names a session at its relay. Not a secret.
public struct SessionID: Hashable, Sendable {
    public let value: UInt64
    public init(value: UInt64) { self.value = value }
}
