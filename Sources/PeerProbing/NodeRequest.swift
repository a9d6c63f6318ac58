public import PeerCore
public import PeerWire

/// One question to another node's API, over HTTPS.
public struct NodeRequest: Hashable, Sendable {
    /// What it may cost, whatever is at the other end.
    public struct Limits: Hashable, Sendable {
        public var connect: Instant.Span
        /// From the beginning to the last byte of the answer.
        public var total: Instant.Span
        /// Bytes of the answer's body; a longer one ends it.
        public var answer: Int

        public init(connect: Instant.Span = .seconds(3), total: Instant.Span = .seconds(6), answer: Int = 65_536) {
            self.connect = connect
            self.total = total
            self.answer = answer
        }
    }

    /// Numeric; a name only where this node's user wrote it.
    public var host: String
    public var port: UInt16
    /// The key that must be there; `nil` takes whichever node is, and the answer says which.
    public var key: NodeKey?
    public var path: String
    /// Is posted, and never empty then; `nil` asks with GET.
    public var body: [UInt8]?
    /// What proves that this node belongs to the other's mesh (`MemberProof`).
    public var proof: String?
    /// A connection of its own, so that its set-up is measured too.
    public var isAlone = false
    /// The port of this end, which several requests to different nodes may share; `nil` for any.
    public var localPort: UInt16?
    public var limits: Limits

    public init(
        host: String, port: UInt16, key: NodeKey?, path: String, body: [UInt8]? = nil, proof: String? = nil,
        limits: Limits = Limits()
    ) {
        self.host = host
        self.port = port
        self.key = key
        self.path = path
        self.body = body
        self.proof = proof
        self.limits = limits
    }

    /// With brackets around an IPv6 address; `nil` where the host has a character that would make another URL of it.
    var url: String? {
        let isHost =
            !host.isEmpty && host.utf8.count <= 253
            && host.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
                    UInt8(ascii: ":"):
                    true
                default: false
                }
            }
        guard isHost, path.utf8.first == UInt8(ascii: "/") else { return nil }
        return "https://\(host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host):\(port)\(path)"
    }
}

/// What came back, from the node whose key is proven.
public struct NodeAnswer: Hashable, Sendable {
    public var status: Int
    public var body: [UInt8]
    public var key: NodeKey
    /// The other end's own proof, if it sent one.
    public var proof: String?
    /// The two ends of the connection, as this machine sees them.
    public var remote: NodeAddress
    public var local: NodeAddress
    /// Until TCP stood: one round trip between the two systems. `nil` on a connection that was there already.
    public var distance: Instant.Span?
    /// Until TLS stood, from the beginning; `nil` likewise.
    public var setUp: Instant.Span?
    /// From the request to the first byte of its answer.
    public var roundTrip: Instant.Span
    /// From the request to the last byte of its answer.
    public var transfer: Instant.Span
}

/// Why there is no answer.
public struct NodeFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// Nobody is there.
        case unreachable
        case late
        /// Somebody else is there.
        case stranger
        case tooLong
        case broken
        /// Too much is under way here already.
        case crowded
    }

    public var kind: Kind
    public var description: String

    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
