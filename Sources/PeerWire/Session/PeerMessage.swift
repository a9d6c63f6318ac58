/// What a peer says to its relay in a session. One case, one frame type; bytes in `PeerMessage+Coding`.
public enum PeerMessage: Hashable, Sendable {
    // The handshake, in this order (PeerCore/Session).
    /// A peer that knew the relay by another key asks how it came to this one, before it says anything else.
    case keyHistoryWanted(NodeKey)
    case hello(Hello)
    case introduction(Introduction)

    // From either end.
    /// The last word of a session.
    case close(CloseReason, detail: String)
    case ping(UInt64)
    case pong(UInt64)

    // Port agreement (PeerCore/PortAgreement), each about one mapping.
    case request(Request)
    /// `ports`: how they stand, where not all of them are to accept.
    case commit(MappingID, attempt: UInt16, ports: PortStates? = nil)
    case decline(MappingID, attempt: UInt16, reason: RefusalReason)
    case release(MappingID)
    /// How the peer sees its mapping, for the relay's listings. `isLeaving`: it is about to leave this relay, and the
    /// ports may close gently. `ports`: where they are not all in that state.
    case report(MappingID, state: MappingState, isLeaving: Bool = false, ports: PortStates? = nil)
    /// The peer's signature (64 bytes) under the last receipt of the mapping.
    case receiptSigned(MappingID, signature: [UInt8])

    /// A third node is asked to check one of the peer's mappings from where that node is.
    case checkWanted(CheckRequest)

    /// A newer token takes the place of the one that the session was opened with.
    case tokenRenewed(String)

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

    /// What a third node is asked to dial: a public port of the asking peer, with the nonce that it expects there.
    public struct CheckRequest: Hashable, Sendable {
        /// Chosen by the asking peer, comes back with the result.
        public var number: UInt32
        public var mapping: MappingID
        public var host: String
        public var port: UInt16
        public var nonce: [UInt8]
        /// By which it is looked at. Older relays look by TCP whatever it says.
        public var protocols = TransportProtocols.tcp

        public init(number: UInt32, mapping: MappingID, host: String, port: UInt16, nonce: [UInt8]) {
            self.number = number
            self.mapping = mapping
            self.host = host
            self.port = port
            self.nonce = nonce
        }
    }
}
