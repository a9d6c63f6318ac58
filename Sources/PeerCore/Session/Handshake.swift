public import PeerWire

/// How a session's data channels are protected.
public enum ChannelProtection: Sendable {
    /// TLS with a key out of the session.
    case encrypted(ChannelKey)
    /// Nothing but a proof at the start; both ends asked for that.
    case plain(PlainSecret)

    public var isPlain: Bool {
        if case .plain = self { true } else { false }
    }
}

/// What a finished handshake leaves behind.
public struct SessionTerms: Sendable {
    public var session: SessionID
    public var protection: ChannelProtection
    /// The relay's key, as TLS proved it.
    public var key: NodeKey
    public var name: String
    /// Why the two trust each other.
    public var basis: RelayMessage.Membership.TrustBasis
    /// Keys that the relay has proven to have had before, among them the one that was known of it; the oldest first.
    public var formerKeys: [NodeKey] = []
    /// Groups that the session's data channels come in.
    public var groups = 1
    /// The public ports that the relay gives out, where it says so.
    public var ports: PortRange?
    /// The mesh key that the relay has proven to know, for that basis.
    public var meshKey: MeshKey?
    /// What the session's datagrams have in front; `nil`: the relay takes none.
    public var datagrams: UInt32?
    /// What their keys are made from.
    public var datagramSecret: DatagramSecret?
}

/// The peer's half of the handshake, inside TLS: keys are proven already, what is left is why each may trust the other.
///
/// ```
/// peer                                relay
///   preamble
///   [keyHistoryWanted(the key that it knew) ──▶
///         ◀── keyHistory(how that became the one it proves)]
///   hello(proofs of mesh keys, token) ──▶
///         ◀── membership(the relay's proof) or close(notAMember)
///   introduction(who I am) ──▶
///         ◀── welcome(session) or close(reason)
/// ```
/// Can become: (askedHistory →) sentHello → sentIntroduction → done, and failed from each.
public struct PeerHandshake: Sendable {
    private enum State: Sendable {
        case askedHistory(Pin), sentHello, sentIntroduction(RelayMessage.Membership.TrustBasis), done
    }

    /// Another key than the relay proves now is known of it: that one must have been handed over.
    public struct Pin: Sendable {
        public var key: NodeKey
        /// What to say where it was not.
        public var complaint: String
        /// A change of key must count at this time.
        public var now: WallTime

        public init(key: NodeKey, complaint: String, now: WallTime) {
            self.key = key
            self.complaint = complaint
            self.now = now
        }
    }

    public enum Action: Sendable {
        case send([UInt8])
        case established(SessionTerms, channels: UInt16, observed: String)
        case failed(HandshakeFailure)
    }

    /// What the peer can show to a relay, and what it asks of it.
    public struct Credentials: Sendable {
        public var meshKeys: [MeshKey]
        /// Issued by this relay; never shown to another.
        public var token: String?
        /// The relay's key was known before: a join link, `trust`, or an earlier session named it.
        public var isKeyKnown: Bool
        /// The user allows a relay that proves nothing but its key, and takes anybody.
        public var acceptsOpen: Bool
        /// How the peer came to its own key.
        public var history: KeyHistory

        public init(
            meshKeys: [MeshKey] = [], token: String? = nil, isKeyKnown: Bool = false, acceptsOpen: Bool = false,
            history: KeyHistory = KeyHistory()
        ) {
            self.history = history
            self.meshKeys = Array(meshKeys.prefix(PeerMessage.Hello.maximumProofs))
            self.token = token
            self.isKeyKnown = isKeyKnown
            self.acceptsOpen = acceptsOpen
        }
    }

    private var state = State.sentHello
    private var formerKeys: [NodeKey] = []
    private var meshKey: MeshKey?
    private let credentials: Credentials
    private let introduction: PeerMessage.Introduction
    private let key: NodeKey
    private let secrets: SessionSecrets

    /// What to send first.
    public let opening: [UInt8]

    /// - Parameters:
    ///   - key: the relay's, as TLS proved it.
    ///   - secrets: of that TLS connection.
    ///   - pin: the key that was known of it, where that is another one: nothing is shown before it explained itself.
    public init(
        with key: NodeKey, secrets: SessionSecrets, credentials: Credentials, introduction: PeerMessage.Introduction,
        pin: Pin? = nil
    ) {
        self.key = key
        self.secrets = secrets
        self.credentials = credentials
        self.introduction = introduction
        let preamble = Preamble(kind: .session).bytes
        if let pin {
            state = .askedHistory(pin)
            opening = preamble + PeerMessage.keyHistoryWanted(pin.key).bytes
        } else {
            opening = preamble + Self.hello(credentials, secrets)
        }
    }

    private static func hello(_ credentials: Credentials, _ secrets: SessionSecrets) -> [UInt8] {
        let proofs = credentials.meshKeys.map { $0.proof(by: .peer, over: secrets.binding) }
        return PeerMessage.hello(
            PeerMessage.Hello(proofs: proofs, token: credentials.token ?? "", history: credentials.history)
        ).bytes
    }

    /// While it is not settled whether this is the relay that was known: what to say of it if the connection ends.
    public var complaint: String? { if case .askedHistory(let pin) = state { pin.complaint } else { nil } }

    public mutating func received(_ frame: Frame) -> Action {
        let message: RelayMessage
        do {
            guard let known = try RelayMessage(frame) else { return fail(.unexpected) }
            message = known
        } catch {
            return fail(.breach(error.description))
        }
        if case .askedHistory(let pin) = state { return explained(message, pin) }
        if case .close(let reason, let detail) = message { return fail(.refused(reason, detail)) }
        switch (state, message) {
        case (.sentHello, .membership(let membership)):
            guard isTrusted(membership) else { return fail(.unproven) }
            state = .sentIntroduction(membership.basis)
            return .send(PeerMessage.introduction(introduction).bytes)
        case (.sentIntroduction(let basis), .welcome(let welcome)):
            // Without encryption only if this end asked for it too.
            guard !welcome.isPlain || introduction.wantsPlain else { return fail(.unexpected) }
            state = .done
            let protection: ChannelProtection =
                welcome.isPlain ? .plain(secrets.plainSecret) : .encrypted(secrets.channelKey)
            var terms = SessionTerms(
                session: welcome.session, protection: protection, key: key, name: PlainText.name(welcome.name),
                basis: basis, formerKeys: formerKeys, groups: Int(welcome.groups), ports: welcome.ports,
                meshKey: meshKey)
            terms.datagrams = welcome.datagrams
            terms.datagramSecret = secrets.datagramSecret
            return .established(terms, channels: welcome.channels, observed: welcome.observed)
        case (.askedHistory, _), (.sentHello, _), (.sentIntroduction, _), (.done, _): return fail(.unexpected)
        }
    }

    private mutating func explained(_ message: RelayMessage, _ pin: Pin) -> Action {
        guard case .keyHistory(let history) = message,
            let keys = try? history.formerKeys(of: key, at: pin.now.seconds), keys.contains(pin.key)
        else { return fail(.keyChanged(pin.complaint)) }
        formerKeys = keys
        state = .sentHello
        return .send(Self.hello(credentials, secrets))
    }

    /// Whoever says that it knows a mesh key of ours has to prove it, also when its own key was known: to a relay of
    /// the mesh this node listens about new mesh keys. Otherwise a relay whose key was known needs no further proof. A
    /// new one must know a mesh key, unless this node has none or the user took that risk: or else whoever sits in
    /// between could just say "open".
    private mutating func isTrusted(_ membership: RelayMessage.Membership) -> Bool {
        switch membership.basis {
        case .mesh:
            meshKey = credentials.meshKeys.first { $0.isProof(membership.proof, by: .relay, over: secrets.binding) }
            return meshKey != nil
        case .token where isKeyKnown, .openRelay where isKeyKnown: return true
        // The token names the relay's key; a token for another key is not shown at all.
        case .token: return credentials.token != nil
        case .openRelay: return credentials.meshKeys.isEmpty || credentials.acceptsOpen
        }
    }

    /// The key itself was known, or the one that was has been handed over to it.
    private var isKeyKnown: Bool { credentials.isKeyKnown || !formerKeys.isEmpty }

    private mutating func fail(_ failure: HandshakeFailure) -> Action {
        state = .done
        return .failed(failure)
    }
}

/// The relay's half.
///
/// Can become: (awaitsFirst →) awaitsHello → (judging →) awaitsIntroduction → done, and failed from each.
public struct RelayHandshake: Sendable {
    private enum State: Sendable { case awaitsFirst, awaitsHello, judging, awaitsIntroduction(TrustBasis), done }

    /// What a peer showed. Whether that is enough is looked at again when it says who it is: the rules may have
    /// changed.
    private enum TrustBasis: Sendable { case mesh(MeshKey), openRelay, token(Grant) }

    /// Why a peer was let in.
    public enum Admission: Sendable {
        /// `isFormer`: with a key that counts for a while only; it should learn the present one.
        case mesh(isFormer: Bool)
        case openRelay
        case token(Grant)

        /// What a peer may do that came in so, and on whose account.
        ///
        /// - Parameter source: where the session comes from; `nil` where the system does not say.
        public func grant(from source: HostAddress?) -> Grant {
            let network = source?.accountNetwork ?? "unknown"
            switch self {
            case .mesh: return Grant(membership: .mesh(network: network))
            case .openRelay: return Grant(membership: .openRelay(network: network))
            case .token(let grant): return grant
            }
        }
    }

    public enum Action: Sendable {
        case send([UInt8])
        /// Find out whether this token is good for the peer's key; answer with `judged`.
        case judge(token: String)
        /// Nothing to say before the next event.
        case wait
        /// The peer may come in and said who it is; the relay's core decides what it gets.
        case introduced(Admission, PeerMessage.Introduction)
        case failed(CloseReason, String)
    }

    /// What a relay asks of peers.
    public struct AdmissionRules: Sendable {
        /// The present one first.
        public var meshKeys: [MeshKey]
        public var isOpen: Bool
        /// How the relay came to its key.
        public var history: KeyHistory

        public init(meshKeys: [MeshKey], isOpen: Bool, history: KeyHistory = KeyHistory()) {
            self.meshKeys = meshKeys
            self.isOpen = isOpen
            self.history = history
        }
    }

    private var state = State.awaitsFirst
    private var rules: AdmissionRules
    /// How the peer says that it came to its key; to be judged against the key that TLS proved.
    public private(set) var history = KeyHistory()
    private let binding: ChannelBinding

    public init(rules: AdmissionRules, binding: ChannelBinding) {
        self.rules = rules
        self.binding = binding
    }

    public mutating func received(_ frame: Frame) -> Action {
        let message: PeerMessage
        do {
            guard let known = try PeerMessage(frame) else { return fail(.protocolBreach, "not a handshake") }
            message = known
        } catch { return fail(.protocolBreach, error.detail) }
        switch (state, message) {
        case (.awaitsFirst, .keyHistoryWanted(let key)):
            // Who asks knows that key already, and learns no more than how it went on.
            state = .awaitsHello
            return .send(RelayMessage.keyHistory(rules.history.since(key)).bytes)
        case (.awaitsFirst, .hello(let hello)), (.awaitsHello, .hello(let hello)):
            history = hello.history
            return answer(hello)
        case (.awaitsIntroduction(let basis), .introduction(let introduction)):
            guard let admission = admission(by: basis) else { return fail(.notAMember, "") }
            state = .done
            return .introduced(admission, introduction)
        case (.awaitsFirst, _), (.awaitsHello, _), (.judging, _), (.awaitsIntroduction, _), (.done, _):
            return fail(.protocolBreach, "not the message that was expected")
        }
    }

    /// The token was judged: `nil` and a reason that the holder may know, or what it allows.
    public mutating func judged(_ grant: Grant?, reason: String) -> Action {
        guard case .judging = state else { return .wait }
        guard let grant else { return fail(.notAMember, reason) }
        return admit(.token(grant), RelayMessage.Membership(basis: .token))
    }

    /// The relay's rules are others from here on: a mesh key that was replaced because it leaked lets in nobody whose
    /// handshake is only halfway.
    public mutating func rulesChanged(_ rules: AdmissionRules) { self.rules = rules }

    /// `nil` when what the peer showed counts no more.
    private func admission(by basis: TrustBasis) -> Admission? {
        switch basis {
        case .mesh(let key): rules.meshKeys.firstIndex(of: key).map { .mesh(isFormer: $0 > 0) }
        case .openRelay: rules.isOpen ? .openRelay : nil
        case .token(let grant): .token(grant)
        }
    }

    private mutating func answer(_ hello: PeerMessage.Hello) -> Action {
        for key in rules.meshKeys where hello.proofs.contains(where: { key.isProof($0, by: .peer, over: binding) }) {
            return admit(
                .mesh(key), RelayMessage.Membership(basis: .mesh, proof: key.proof(by: .relay, over: binding)))
        }
        if !hello.token.isEmpty {
            state = .judging
            return .judge(token: hello.token)
        }
        // No more than that: a stranger learns neither what is wrong nor who this is.
        return rules.isOpen ? admit(.openRelay, RelayMessage.Membership(basis: .openRelay)) : fail(.notAMember, "")
    }

    private mutating func admit(_ basis: TrustBasis, _ membership: RelayMessage.Membership) -> Action {
        state = .awaitsIntroduction(basis)
        return .send(RelayMessage.membership(membership).bytes)
    }

    private mutating func fail(_ reason: CloseReason, _ detail: String) -> Action {
        state = .done
        return .failed(reason, detail)
    }
}

/// Why a peer got no session.
public enum HandshakeFailure: Hashable, Sendable, CustomStringConvertible {
    case refused(CloseReason, String)
    /// The other end speaks no version that this one does; the number is its highest.
    case version(UInt16)
    /// The relay did not prove that it knows a mesh key of this node.
    case unproven
    /// It proved another key than the one that was known of it, and that one was not handed over to it.
    case keyChanged(String)
    case unexpected
    case breach(String)

    /// The next attempt is answered in the same way, unless somebody does something.
    var isLasting: Bool {
        switch self {
        case .refused(.revoked, _), .refused(.expired, _): true
        case .refused, .version, .unproven, .keyChanged, .unexpected, .breach: false
        }
    }

    public var description: String {
        switch self {
        case .refused(.notARelay, _): "that node is not a relay (it runs without --reverse-proxy)"
        case .refused(.superseded, _): "another process with this node's key took over"
        case .refused(.notAMember, ""):
            "this node is not a member there: ask for its join link (p2prc mesh-key link, on that machine), "
                + "and give it to p2prc join"
        case .refused(.notAMember, let detail): "it does not accept this node's token: \(detail)"
        case .refused(let reason, let detail):
            "it refused the session (\(reason.text)\(detail.isEmpty ? "" : ": " + detail))"
        case .version(let highest):
            highest > Preamble.version
                ? "it speaks protocol version \(highest), this p2prc \(Preamble.version): update this node"
                : "it speaks protocol version \(highest), this p2prc \(Preamble.version): update that node"
        case .unproven:
            "it takes anybody and does not know this node's mesh key, so it may be somebody in between; "
                + "if that is meant, join it with --accept-open, or by its join link"
        case .keyChanged(let complaint): complaint
        case .unexpected: "that is not a p2prc relay, or it broke the protocol"
        case .breach(let detail): detail
        }
    }
}
