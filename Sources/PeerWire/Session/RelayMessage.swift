/// What a relay says to its peer in a session. One case, one frame type; bytes in `RelayMessage+Coding`.
public enum RelayMessage: Hashable, Sendable {
    // The handshake, in this order (PeerCore/Session).
    /// How the relay came to its key: the answer to `keyHistoryWanted`, and what its members hear when it gets another.
    case keyHistory(KeyHistory)
    case membership(Membership)
    case welcome(Welcome)

    // From either end.
    /// The last word of a session.
    case close(CloseReason, detail: String)
    case ping(UInt64)
    case pong(UInt64)

    // Port agreement (PeerCore/PortAgreement), each about one mapping.
    case offer(Offer)
    case active(MappingID, attempt: UInt16, host: String)
    case refusal(MappingID, reason: RefusalReason, detail: String)
    case released(MappingID)
    /// The relay's half of a mapping's receipt.
    case receipt(Receipt.Draft)

    /// The answer to `checkWanted`.
    case checkDone(number: UInt32, passed: Bool, detail: String)

    /// How many ready data channels the relay wants the peer to keep in the group with that number.
    case channelsWanted(UInt16, group: UInt8)

    /// The relay sends the peer datagrams, and hears nothing of it: does anything come through?
    case datagramsMissed

    /// Whether the relay lets its peers go: another one is to be found, and then this session ended.
    case draining(Bool)

    /// The mesh has a new key; the former one counts for a while. For members, inside TLS.
    case meshKeyRenewed(MeshKey)
    /// The answer to `tokenRenewed`: why the token is rejected, or an empty text. The session goes on by the former
    /// one then.
    case tokenJudged(reason: String)

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
        /// What the session's datagrams have in front, at the relay's server port; `nil`: it takes none.
        public var datagrams: UInt32?

        public init(
            session: SessionID, name: String, observed: String, software: String, channels: UInt16, groups: UInt8 = 1,
            isPlain: Bool = false
        ) {
            self.groups = groups
            self.isPlain = isPlain
            self.session = session
            self.name = name
            self.observed = observed
            self.software = software
            self.channels = channels
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
