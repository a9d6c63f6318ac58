import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// When a relay sends a receipt, and what it makes of the answer.
@Suite final class RelayReceiptTests {
    static let peer = NodeIdentity(seed: .seed(2))!
    static let claim = Claim(key: peer.key, mapping: .number(1))
    let bench = RelayBench(
        RelayCore.Policy(
            ports: PortRange(first: 1_000, last: 1_099)!, leaseSeconds: 3_600, membershipLimits: .init(connections: 7)))

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    func start(_ session: UInt64, _ grant: Grant = .mesh) {
        bench.give(.sessionProven(.number(session), key: Self.peer.key, introduction: .of(1), grant: grant))
    }

    @discardableResult
    func say(_ session: UInt64, _ message: PeerMessage) -> [RelayCore.Action] {
        bench.give(.received(.number(session), message))
    }

    func drafts(in actions: [RelayCore.Action]) -> [Receipt.Draft] {
        actions.compactMap { if case .receipt(let draft)? = $0.message { draft } else { nil } }
    }

    /// The receipt that follows when a mapping is agreed.
    func agree(_ session: UInt64) throws -> Receipt.Draft {
        let offers = say(session, .wants(1, .any(count: 2))).compactMap { action -> RelayMessage.Offer? in
            if case .offer(let offer)? = action.message { offer } else { nil }
        }
        let offer = try #require(offers.first)
        let answers = say(session, .commit(offer.mapping, attempt: offer.attempt))
        // It follows the word that the mapping is active: before that the peer would not know what was agreed.
        let messages = answers.compactMap(\.message)
        #expect(messages.first == .active(.number(1), attempt: offer.attempt, host: "relay.example.org"))
        #expect(messages.count == 2)
        return try #require(drafts(in: answers).first)
    }

    func signature(_ draft: Receipt.Draft) -> PeerMessage {
        .receiptSigned(.number(1), signature: draft.countersigned(byPeer: Self.peer).peerSignature)
    }

    func endings(_ actions: [RelayCore.Action]) -> [CloseReason] {
        actions.compactMap { if case .end(_, let reason, _) = $0 { reason } else { nil } }
    }

    @Test func `it follows an agreement, says what is promised, and the peer's signature is taken`() throws {
        start(1)
        let draft = try agree(1)
        #expect(draft.terms.relay == RelayBench.identity.key && draft.terms.peer == Self.peer.key)
        #expect(draft.terms.ports == bench.core.lease(of: Self.claim)?.ports)
        #expect(draft.terms.expires == WallTime.start.seconds + 3_600)
        #expect(draft.terms.limits.connections == 7, "the relay's own limit, where the membership has none")
        #expect(draft.isSignedByRelay)
        #expect(say(1, signature(draft)).isEmpty)
        // Said again: nothing waits for it, and nothing comes of it.
        #expect(say(1, signature(draft)).isEmpty)
    }

    @Test func `a signature that fits no receipt ends the session as a breach`() throws {
        start(1)
        let draft = try agree(1)
        var flipped = draft.countersigned(byPeer: Self.peer).peerSignature
        flipped[7] ^= 1
        #expect(endings(say(1, .receiptSigned(.number(1), signature: flipped))) == [.protocolBreach])
        #expect(bench.core.session(.number(1)) == nil)
        bench.now = bench.now + .seconds(1)
        start(2)
        _ = try agree(2)
        #expect(endings(say(2, signature(draft))) == [.protocolBreach], "of an earlier session")
    }

    @Test func `a signature for a mapping that has none waiting is passed over`() throws {
        start(1)
        let draft = try agree(1)
        say(1, .release(.number(1)))
        #expect(say(1, signature(draft)).isEmpty)
        #expect(say(1, .receiptSigned(.number(9), signature: [UInt8](repeating: 0, count: 64))).isEmpty)
    }

    @Test func `renewed limits and a prolonged lease bring another one, and answers may cross`() throws {
        start(1)
        let first = try agree(1)
        let second = try #require(
            drafts(in: bench.give(.grantRenewed(.number(1), .token("t", limits: .init(keys: 3))))).first)
        #expect(second.terms.limits.keys == 3 && second.terms.limits.connections == nil)
        #expect(say(1, signature(first)).isEmpty)
        #expect(say(1, signature(second)).isEmpty)
        bench.now = bench.now + .seconds(1_801)
        say(1, .ping(1))
        let third = try #require(drafts(in: bench.give(.timePassed)).first)
        #expect(third.terms.expires == WallTime.start.seconds + 1_801 + 3_600)
        #expect(say(1, signature(third)).isEmpty)
    }

    @Test func `nothing is sent to a session that went while it was signed`() throws {
        start(1)
        let draft = try agree(1)
        bench.give(.sessionEnded(.number(1)))
        #expect(bench.give(.receiptDrafted(Self.claim, .number(1), draft)).isEmpty)
    }

    @Test func `of those that are never answered only the last eight are remembered`() throws {
        start(1)
        let first = try agree(1)
        var last = first
        for keys in 1...8 {
            last = try #require(
                drafts(in: bench.give(.grantRenewed(.number(1), .token("t", limits: .init(keys: keys))))).first)
        }
        #expect(say(1, signature(last)).isEmpty)
        let next = bench.give(.grantRenewed(.number(1), .token("t", limits: .init(keys: 9))))
        #expect(drafts(in: next).count == 1)
        #expect(endings(say(1, signature(first))) == [.protocolBreach])
    }
}

extension PeerPortAgreementTests {
    private static func active() -> PeerPortAgreement { AgreementStates.inState("active") }

    private static func offered(_ draft: Receipt.Draft = AgreementStates.draft) -> PeerPortAgreement.Event {
        .receiptOffered(draft, relay: AgreementStates.relay.key, peer: .number(6))
    }

    @Test func `a receipt of what was agreed is countersigned, another one is objected to`() {
        var agreement = Self.active()
        #expect(agreement.handle(Self.offered(), at: .zero) == [.countersign(AgreementStates.draft)])
        let forged = Receipt.Draft(
            terms: AgreementStates.draft.terms, relaySignature: [UInt8](repeating: 0, count: 64))
        #expect(agreement.handle(Self.offered(forged), at: .zero) == [.object(.notSigned)])
        let other = PeerPortAgreement.Event.receiptOffered(
            AgreementStates.draft, relay: .number(9), peer: .number(6))
        #expect(agreement.handle(other, at: .zero) == [.object(.otherRelay)])
    }

    @Test func `a relay that floods a peer with receipts has a few of them answered, then one every ten seconds`() {
        var agreement = Self.active()
        func answered(at now: Instant) -> Int {
            (0..<20).filter { _ in agreement.handle(Self.offered(), at: now) == [.countersign(AgreementStates.draft)] }
                .count
        }
        #expect(answered(at: .zero) == 8)
        #expect(answered(at: .at(9_999)) == 0)
        #expect(answered(at: .at(10_000)) == 1)
        #expect(answered(at: .at(1_000_000)) == 8)
    }
}
