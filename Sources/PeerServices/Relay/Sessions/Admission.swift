internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The relay that an admission lets peers into.
protocol AdmissionHost: AnyObject {
    /// Judges a token that a session's peer has shown.
    ///
    /// - Parameter answer: called once, with the grant, or with the reason the token is rejected.
    func judge(_ token: String, of session: RelaySession, _ answer: @escaping (Grant?, String) -> Void)
    /// The handshake is over; `formerly`: keys that were handed over to the session's key.
    func admitted(
        _ session: RelaySession, _ introduction: PeerMessage.Introduction, _ grant: Grant, formerly: [NodeKey])
    /// It has to go, with these words.
    func drop(_ session: RelaySession, _ reason: CloseReason, _ detail: String)
    /// It goes on under this grant.
    func renewed(_ session: RelaySession, _ grant: Grant)
}

/// Who is let into a relay, and on what it rests: sessions in their handshake, tokens that are judged and renewed, and
/// the mesh key that members know. Belongs to the control loop.
final class Admission {
    private static let revoked = "the token was revoked; ask for a new one"

    /// What becomes of members where the mesh key changes.
    enum MeshKeyChange {
        case none
        /// The former key counts for a while: those who are here learn the new one.
        case taught
        /// The former key is taken for leaked: they have to go.
        case leaked
    }

    private let loop: EventLoop
    private let keys: KeyRing
    private let isOpen: Bool
    private let allowsPlain: Bool
    /// Set as long as the relay runs.
    weak var host: (any AdmissionHost)?
    /// Sessions whose handshake is not over.
    private var opening: [SessionID: RelaySession] = [:]
    /// The mesh key that the members here know.
    private var taughtMeshKey: MeshKey?
    /// Revoked so lately that somebody may have shown one before and not be in yet.
    private var endedTokens: Set<Grant.Membership> = []
    /// Nodes that come back though they were told no.
    private var refusals = RepeatedRefusals()

    /// - Parameters:
    ///   - isOpen: anybody may come in.
    ///   - allowsPlain: data channels go without encryption where the peer asks for that too.
    init(on loop: EventLoop, keys: KeyRing, isOpen: Bool, allowsPlain: Bool) {
        self.loop = loop
        self.keys = keys
        self.isOpen = isOpen
        self.allowsPlain = allowsPlain
        taughtMeshKey = keys.meshKeys.first
    }

    /// What the handshakes of peers are held to now.
    private var rules: RelayHandshake.AdmissionRules {
        RelayHandshake.AdmissionRules(meshKeys: keys.meshKeys, isOpen: isOpen, history: keys.history)
    }

    /// Sessions whose handshake is not over.
    var inHandshake: [RelaySession] { Array(opening.values) }

    // MARK: Handshakes

    /// Begins a session; whoever reads its channel hands its frames to `received`.
    func open(_ arrival: NodeServer.Arrival) -> RelaySession {
        let id = SessionID(value: UInt64.random(in: 1 ... .max))
        let handshake = RelayHandshake(rules: rules, binding: arrival.secrets.binding)
        let session = RelaySession(id: id, arrival, handshake: handshake)
        opening[id] = session
        arrival.slot.onDisplaced = { [weak self, weak session] in
            guard let self, let session else { return }
            host?.drop(session, .limitReached, "too many handshakes at once")
        }
        session.timer = loop.schedule(after: SessionTiming.handshakeLimit) { [weak self, weak session] in
            guard let self, let session else { return }
            host?.drop(session, .silent, "the handshake took too long")
        }
        return session
    }

    /// A frame of a session in its handshake.
    func received(_ frame: Frame, _ session: RelaySession) {
        goOn(session, session.handshake.received(frame))
    }

    /// The session has ended, or been admitted.
    func forget(_ session: RelaySession) { opening[session.id] = nil }

    private func goOn(_ session: RelaySession, _ action: RelayHandshake.Action) {
        switch action {
        case .wait: break
        case .send(let bytes): session.channel.send(bytes)
        case .failed(let reason, let detail): host?.drop(session, reason, detail)
        case .judge(let token):
            host?.judge(token, of: session) { [weak self, weak session] grant, reason in
                guard let self, let session, session.phase == .handshake else { return }
                goOn(session, session.handshake.judged(grant, reason: reason))
            }
        case .introduced(.token(let grant), _) where endedTokens.contains(grant.membership):
            host?.drop(session, .revoked, Self.revoked)
        case .introduced(let admission, let introduction): admit(session, admission, introduction)
        }
    }

    private func admit(
        _ session: RelaySession, _ admission: RelayHandshake.Admission, _ introduction: PeerMessage.Introduction
    ) {
        let formerly: [NodeKey]
        do throws(KeyHistoryFault) {
            formerly = try session.handshake.history.formerKeys(of: session.key, at: loop.wall().seconds)
        } catch {
            host?.drop(session, .badProof, error.description)
            return
        }
        session.timer?.cancel()
        session.slot.settle()
        opening[session.id] = nil
        session.phase = .admitted
        session.admission = admission
        session.name = introduction.name
        session.isPlain = introduction.wantsPlain && allowsPlain
        let grant = admission.grant(from: session.source)
        session.membership = grant.membership
        host?.admitted(session, introduction, grant, formerly: formerly)
        if case .mesh(isFormer: true) = admission { teach(session) }
    }

    /// - Returns: how often the node was told the same before without a line in the log; `nil`: no line now either.
    func noteRefusal(of session: RelaySession, _ why: String) -> Int? {
        refusals.note(session.key, why, at: loop.clock())
    }

    // MARK: Tokens

    /// What the new one allows counts from now on, and nothing that it still allows is interrupted. Whoever came in by
    /// the mesh key needs none.
    func renew(_ token: String, _ session: RelaySession) {
        guard case .token = session.admission, !session.isTokenJudged else { return }
        guard session.tokens.take(1, at: loop.clock()) else {
            return session.send(.tokenJudged(reason: "tokens come too often; show it again later"))
        }
        session.isTokenJudged = true
        host?.judge(token, of: session) { [weak self, weak session] grant, reason in
            guard let self, let session, session.phase == .admitted else { return }
            session.isTokenJudged = false
            guard let grant, !endedTokens.contains(grant.membership) else {
                return session.send(.tokenJudged(reason: grant == nil ? reason : Self.revoked))
            }
            session.send(.tokenJudged(reason: ""))
            session.admission = .token(grant)
            session.membership = grant.membership
            host?.renewed(session, grant)
        }
    }

    /// A token was revoked, or its time is over.
    ///
    /// - Returns: what the core is to be told.
    func tokenEnded(_ id: String) -> RelayCore.Event {
        let membership = Grant.Membership.token(id: id)
        endedTokens.insert(membership)
        // No handshake that began before this lasts longer; later ones are judged by what is written down.
        loop.schedule(after: SessionTiming.handshakeLimit * 2) { [weak self] in self?.endedTokens.remove(membership) }
        return .membershipEnded(membership, .revoked, detail: Self.revoked)
    }

    // MARK: Keys

    /// This relay's own keys changed: handshakes under way are held to the new ones.
    func rulesChanged() {
        let rules = rules
        for session in opening.values { session.handshake.rulesChanged(rules) }
    }

    /// The mesh keys of the ring changed; the first is for new members.
    func meshKeysChanged() -> MeshKeyChange {
        let meshKeys = keys.meshKeys
        let former = taughtMeshKey
        taughtMeshKey = meshKeys.first
        rulesChanged()
        guard meshKeys.first != former else { return .none }
        return former.map { meshKeys.contains($0) } ?? true ? .taught : .leaked
    }

    /// A member learns the mesh key that counts from now on.
    func teach(_ session: RelaySession) {
        guard let key = taughtMeshKey else { return }
        session.send(.meshKeyRenewed(key))
    }
}
