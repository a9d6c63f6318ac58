/// Everything that two nodes say to each other in a session. One case, one frame type; bytes in `Message+Coding`.
public enum Message: Hashable, Sendable {
    // The handshake, in this order (PeerCore/Session).
    case hello(Hello)
    case membership(Membership)
    case introduction(Introduction)
    case welcome(Welcome)
    /// The last word of a session, from either end.
    case close(CloseReason, detail: String)

    // Liveness and round trips, from either end.
    case ping(UInt64)
    case pong(UInt64)

    // Port agreement (PeerCore/PortAgreement), each about one mapping.
    case request(Request)
    case offer(Offer)
    /// `ports`: how they stand, where not all of them are to accept.
    case commit(MappingID, attempt: UInt16, ports: PortStates? = nil)
    case decline(MappingID, attempt: UInt16, reason: RefusalReason)
    case active(MappingID, attempt: UInt16, host: String)
    case refusal(MappingID, reason: RefusalReason, detail: String)
    case release(MappingID)
    case released(MappingID)
    /// How the peer sees its mapping, for the relay's listings. `isLeaving`: it is about to leave this relay, and the
    /// ports may close gently. `ports`: where they are not all in that state.
    case report(MappingID, state: MappingState, isLeaving: Bool = false, ports: PortStates? = nil)
    /// The relay's half of a mapping's receipt.
    case receipt(Receipt.Draft)
    /// The peer's signature (64 bytes) under the last receipt of the mapping.
    case receiptSigned(MappingID, signature: [UInt8])

    /// A peer asks a third node to check one of its mappings from where that node is.
    case checkWanted(CheckRequest)
    case checkDone(number: UInt32, passed: Bool, detail: String)

    /// How many ready data channels the relay wants the peer to keep in the group with that number.
    case channelsWanted(UInt16, group: UInt8)

    /// Whether the relay lets its peers go: another one is to be found, and then this session ended.
    case draining(Bool)

    /// The mesh has a new key; the former one counts for a while. From a relay to members, inside TLS.
    case meshKeyRenewed(MeshKey)
    /// A newer token takes the place of the one that the session was opened with. From a peer that came in by a token.
    case tokenRenewed(String)
    /// The relay's answer: why it counts for nothing, or an empty text. The session goes on by the former one then.
    case tokenJudged(reason: String)

    /// A peer that knew the relay by another key asks how it came to this one, before it says anything else.
    case keyHistoryWanted(NodeKey)
    /// The answer, from that key on; and what a relay says to its members when it gets another key.
    case keyHistory(KeyHistory)

    /// First word of the peer: why it may come in. Its key is proven by TLS; it does not say its name yet.
    public struct Hello: Hashable, Sendable {
        public static let maximumProofs = 8
        public static let maximumToken = 4_096

        /// One for each mesh key that it knows.
        public var proofs: [[UInt8]]
        /// A token of this relay (RFC 7519); empty without one.
        public var token: String
        /// How the peer came to its key, if that changed lately.
        public var history: KeyHistory

        public init(proofs: [[UInt8]] = [], token: String = "", history: KeyHistory = KeyHistory()) {
            self.proofs = proofs
            self.token = token
            self.history = history
        }
    }

    /// The relay's answer: the peer may come in, and here is why it may trust this relay.
    public struct Membership: Hashable, Sendable {
        public enum TrustBasis: UInt8, Sendable, CaseIterable {
            /// The peer proved the mesh key; `proof` is the relay's own.
            case mesh = 1
            /// Its token is good.
            case token = 2
            /// Anybody may come in.
            case openRelay = 3
        }

        public var basis: TrustBasis
        /// 32 bytes for `mesh`, otherwise empty.
        public var proof: [UInt8]

        public init(basis: TrustBasis, proof: [UInt8] = []) {
            self.basis = basis
            self.proof = proof
        }
    }

    /// Who the peer is, once it trusts the relay.
    public struct Introduction: Hashable, Sendable {
        /// Random for each process, so that a relay tells a return from a successor.
        public var instance: ProcessInstance
        public var name: String
        /// Host and port by which the peer reached this relay.
        public var dialled: String
        public var software: String
        /// It would rather have its data channels without encryption.
        public var wantsPlain: Bool
        /// When the process began (`ProcessStart`); 0 where it does not say.
        public var began: UInt64

        public init(
            instance: ProcessInstance, name: String, dialled: String, software: String, wantsPlain: Bool = false,
            began: UInt64 = 0
        ) {
            self.began = began
            self.instance = instance
            self.name = name
            self.dialled = dialled
            self.software = software
            self.wantsPlain = wantsPlain
        }
    }

    /// The session stands.
    public struct Welcome: Hashable, Sendable {
        public var session: SessionID
        public var name: String
        /// The peer's address as the relay sees it.
        public var observed: String
        public var software: String
        /// Ready data channels to begin with, in each group.
        public var channels: UInt16
        /// Groups of data channels: 1 to `ChannelGroup.maximum`.
        public var groups: UInt8
        /// Both ends want data channels without encryption.
        public var isPlain: Bool
        /// The public ports that the relay gives out, for whoever has to open a firewall; `nil`: it does not say.
        public var ports: PortRange?

        public init(
            session: SessionID, name: String, observed: String, software: String, channels: UInt16, groups: UInt8 = 1,
            isPlain: Bool = false, ports: PortRange? = nil
        ) {
            self.groups = groups
            self.isPlain = isPlain
            self.ports = ports
            self.session = session
            self.name = name
            self.observed = observed
            self.software = software
            self.channels = channels
        }
    }

    public struct Request: Hashable, Sendable {
        public var mapping: MappingID
        public var protocols: TransportProtocols
        public var wish: PortWish
        /// Where the mapping leads, for the relay's listings.
        public var target: String
        /// Visitors that the relay lets in; empty: everybody. At most `maximumNetworks`.
        public var allow: [Network]
        /// Visitors that it does not, whatever `allow` says. At most `maximumNetworks`.
        public var deny: [Network]

        /// In each of the two lists.
        public static let maximumNetworks = 64

        public init(
            mapping: MappingID, protocols: TransportProtocols, wish: PortWish, target: String, allow: [Network] = [],
            deny: [Network] = []
        ) {
            self.mapping = mapping
            self.protocols = protocols
            self.wish = wish
            self.target = target
            self.allow = allow
            self.deny = deny
        }
    }

    public struct Offer: Hashable, Sendable {
        public var mapping: MappingID
        /// Counts the offers for this mapping, so that a late answer to an earlier one is told apart.
        public var attempt: UInt16
        public var ports: PortRange
        /// How long the ports stay the peer's after its session, in seconds.
        public var leaseSeconds: UInt32

        public init(mapping: MappingID, attempt: UInt16, ports: PortRange, leaseSeconds: UInt32) {
            self.mapping = mapping
            self.attempt = attempt
            self.ports = ports
            self.leaseSeconds = leaseSeconds
        }
    }
}

extension Message {
    /// What a third node is asked to dial: a public port of the asking peer, with the nonce that it expects there.
    public struct CheckRequest: Hashable, Sendable {
        /// Chosen by the asking peer, comes back with the result.
        public var number: UInt32
        public var mapping: MappingID
        public var host: String
        public var port: UInt16
        public var nonce: [UInt8]

        public init(number: UInt32, mapping: MappingID, host: String, port: UInt16, nonce: [UInt8]) {
            self.number = number
            self.mapping = mapping
            self.host = host
            self.port = port
            self.nonce = nonce
        }
    }
}

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
