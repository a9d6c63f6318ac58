import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// Both halves of a handshake over one TLS connection with made-up secrets; the shell's parts (`welcome`, session
/// numbers, tokens) are played here.
struct HandshakePair {
    static let relayKey = NodeIdentity(seed: .seed(2))!.key
    static let meshKey = MeshKey(bytes: .seed(40))!
    static let otherMeshKey = MeshKey(bytes: .seed(41))!
    static let welcome = RelayMessage.welcome(
        .init(session: .number(77), name: "relay", observed: "203.0.113.1:999", software: "test", channels: 6))
    static let plainWelcome = RelayMessage.welcome(
        .init(session: .number(77), name: "relay", observed: "", software: "", channels: 6, isPlain: true))

    var peer: PeerHandshake
    var relay: RelayHandshake

    /// - Parameters:
    ///   - run: tells one connection's secrets from another's.
    ///   - relayRun: the relay's connection; another one than the peer's when somebody sits in between.
    init(
        run: UInt64 = 0, relayRun: UInt64? = nil, credentials: PeerHandshake.Credentials = .init(meshKeys: [meshKey]),
        rules: RelayHandshake.AdmissionRules = .init(meshKeys: [meshKey], isOpen: false), wantsPlain: Bool = false
    ) {
        peer = PeerHandshake(
            with: Self.relayKey, secrets: Self.secrets(run), credentials: credentials,
            introduction: .init(
                instance: .number(9), name: "peer", dialled: "relay.example.org:8088", software: "test",
                wantsPlain: wantsPlain))
        relay = RelayHandshake(rules: rules, binding: Self.secrets(relayRun ?? run).binding)
    }

    static func secrets(_ run: UInt64) -> SessionSecrets {
        SessionSecrets { label in .seed(1_000 * UInt64(label.utf8.count) + run) }!
    }

    /// Everything one end sends, as a frame; the preamble is the shell's to judge.
    static func frame(_ bytes: [UInt8]) -> Frame? {
        let rest = bytes.starts(with: Array("p2prc".utf8)) ? Array(bytes.dropFirst(Preamble.byteCount)) : bytes
        var decoder = FrameDecoder()
        decoder.append(rest)
        return (try? decoder.next()) ?? nil
    }

    enum Outcome {
        case established(SessionTerms, RelayHandshake.Admission, PeerMessage.Introduction)
        case refusedByPeer(HandshakeFailure)
        case refusedByRelay(CloseReason, String)
        /// The bytes made no frame: the shell closes, or waits until its limit.
        case nothing

        var isRefused: Bool { if case .established = self { false } else { true } }
    }

    /// Runs to the end; `onWay` may change each of the four messages, numbered from 0. `judge` plays the token's
    /// issuer.
    mutating func run(
        welcome: RelayMessage = welcome, _ onWay: (Int, [UInt8]) -> [UInt8] = { _, bytes in bytes },
        judge: (String) -> (Grant?, String) = { _ in (nil, "no") }
    ) -> Outcome {
        guard let hello = Self.frame(onWay(0, peer.opening)) else { return .nothing }
        var answer = relay.received(hello)
        if case .judge(let token) = answer {
            let (grant, reason) = judge(token)
            answer = relay.judged(grant, reason: reason)
        }
        guard case .send(let membership) = answer else { return Self.refusal(answer) }
        guard let frame = Self.frame(onWay(1, membership)) else { return .nothing }
        let introduction: [UInt8]
        switch peer.received(frame) {
        case .send(let bytes): introduction = bytes
        case .failed(let failure): return .refusedByPeer(failure)
        case .established: preconditionFailure("established by a membership")
        }
        guard let words = Self.frame(onWay(2, introduction)) else { return .nothing }
        let last = relay.received(words)
        guard case .introduced(let admission, let said) = last else { return Self.refusal(last) }
        guard let end = Self.frame(onWay(3, welcome.bytes)) else { return .nothing }
        switch peer.received(end) {
        case .send: preconditionFailure("the peer answers a welcome")
        case .failed(let failure): return .refusedByPeer(failure)
        case .established(let terms, _, _): return .established(terms, admission, said)
        }
    }

    private static func refusal(_ action: RelayHandshake.Action) -> Outcome {
        guard case .failed(let reason, let detail) = action else { return .nothing }
        return .refusedByRelay(reason, detail)
    }
}

extension RelayLink {
    /// The stream and TLS on it, in one step.
    mutating func connected(_ handshake: PeerHandshake, at now: Instant) -> [Action] {
        let actions = reached(at: now)
        return actions.isEmpty ? secured(handshake, at: now) : actions
    }
}

@Suite struct HandshakeTests {
    @Test func `members of one mesh let each other in`() {
        var pair = HandshakePair()
        guard case .established(let terms, .mesh(isFormer: false), let said) = pair.run() else {
            Issue.record("not established")
            return
        }
        #expect(terms.key == HandshakePair.relayKey && terms.basis == .mesh && !terms.protection.isPlain)
        #expect(terms.session == .number(77) && terms.name == "relay")
        #expect(said.instance == .number(9) && said.name == "peer" && said.dialled == "relay.example.org:8088")
    }

    @Test func `without the mesh key the relay says no more than that this is no member`() {
        for keys in [[], [HandshakePair.otherMeshKey]] {
            var pair = HandshakePair(credentials: .init(meshKeys: keys))
            guard case .refusedByRelay(.notAMember, "") = pair.run() else {
                Issue.record("let in with \(keys.count) wrong keys, or told why not")
                continue
            }
        }
    }

    @Test func `a peer with several mesh keys is let in by whichever fits`() {
        var pair = HandshakePair(credentials: .init(meshKeys: [HandshakePair.otherMeshKey, HandshakePair.meshKey]))
        #expect(!pair.run().isRefused)
    }

    @Test func `a former mesh key still counts and is told apart`() {
        var pair = HandshakePair(
            rules: .init(meshKeys: [HandshakePair.otherMeshKey, HandshakePair.meshKey], isOpen: false))
        guard case .established(_, .mesh(isFormer: true), _) = pair.run() else {
            Issue.record("not established with a former key")
            return
        }
    }

    @Test func `a relay whose key is known still has to prove the mesh key that it claims to know`() {
        let known = PeerHandshake.Credentials(meshKeys: [HandshakePair.meshKey], isKeyKnown: true)
        for proof in [[], [UInt8](repeating: 7, count: MeshKey.proofByteCount)] {
            var pair = HandshakePair(credentials: known)
            let claim = RelayMessage.membership(.init(basis: .mesh, proof: proof)).bytes
            guard case .refusedByPeer = pair.run({ number, bytes in number == 1 ? claim : bytes }) else {
                Issue.record("a proof of \(proof.count) bytes that proves nothing was taken")
                continue
            }
        }
        var pair = HandshakePair(credentials: known)
        #expect(!pair.run().isRefused)
    }

    @Test func `a mesh key that was replaced meanwhile lets nobody in who is only halfway`() {
        let renewed = HandshakePair.otherMeshKey
        for (keys, isLetIn) in [([renewed], false), ([renewed, HandshakePair.meshKey], true)] {
            var pair = HandshakePair()
            guard case .send = pair.relay.received(HandshakePair.frame(pair.peer.opening)!) else {
                Issue.record("the proof was not taken")
                continue
            }
            pair.relay.rulesChanged(.init(meshKeys: keys, isOpen: false))
            let last = pair.relay.received(PeerMessage.introduction(.of(9)).frame)
            switch last {
            case .introduced(.mesh(isFormer: true), _): #expect(isLetIn)
            case .failed(.notAMember, ""): #expect(!isLetIn)
            default: Issue.record("\(last)")
            }
        }
    }

    @Test func `somebody in between with a TLS connection to each end gets nowhere`() {
        var pair = HandshakePair(run: 1, relayRun: 2)
        guard case .refusedByRelay(.notAMember, _) = pair.run() else {
            Issue.record("the relay took a proof of another connection")
            return
        }
    }

    @Test func `a false relay learns nothing that it could use and is not told who the peer is`() {
        // It has no mesh key, so it hands the peer's own proof back, or makes one up, or says that it is open.
        let hello = HandshakePair.frame(HandshakePair().peer.opening)!
        guard case .hello(let words)? = try? PeerMessage(hello) else {
            Issue.record("no hello")
            return
        }
        for answer in [
            RelayMessage.Membership(basis: .mesh, proof: words.proofs[0]), .init(basis: .mesh, proof: .seed(7)),
            .init(basis: .openRelay), .init(basis: .token),
        ] {
            var peer = HandshakePair().peer
            guard case .failed(.unproven) = peer.received(RelayMessage.membership(answer).frame) else {
                Issue.record("accepted \(answer.basis)")
                continue
            }
        }
        #expect(words.proofs.count == 1 && words.token.isEmpty)
    }

    @Test func `an open relay is used by who has no mesh key, who allows it, or who knows its key`() {
        let open = RelayHandshake.AdmissionRules(meshKeys: [HandshakePair.otherMeshKey], isOpen: true)
        for credentials in [
            PeerHandshake.Credentials(), .init(meshKeys: [HandshakePair.meshKey], acceptsOpen: true),
            .init(meshKeys: [HandshakePair.meshKey], isKeyKnown: true),
        ] {
            var pair = HandshakePair(credentials: credentials, rules: open)
            guard case .established(let terms, .openRelay, _) = pair.run() else {
                Issue.record("refused: \(credentials)")
                continue
            }
            #expect(terms.basis == .openRelay)
        }
        var careful = HandshakePair(rules: open)
        guard case .refusedByPeer(.unproven) = careful.run() else {
            Issue.record("a peer with a mesh key took an open relay that it does not know")
            return
        }
    }

    @Test func `a token is judged and its grant carried on, and a bad one refused with the reason`() {
        let grant = Grant(membership: .token(id: "t1"), limits: .init(connections: 3))
        var good = HandshakePair(credentials: .init(token: "abc"))
        guard
            case .established(let terms, .token(let given), _) = good.run(judge: { token in
                (token == "abc" ? grant : nil, "")
            })
        else {
            Issue.record("the token did not let the peer in")
            return
        }
        #expect(given == grant && terms.basis == .token)
        var bad = HandshakePair(credentials: .init(token: "abc"))
        guard case .refusedByRelay(.notAMember, "it expired") = bad.run(judge: { token in (nil, "it expired") }) else {
            Issue.record("no reason")
            return
        }
    }

    @Test func `while a token is judged nothing else is taken`() {
        var pair = HandshakePair(credentials: .init(token: "abc"))
        guard case .judge = pair.relay.received(HandshakePair.frame(pair.peer.opening)!) else {
            Issue.record("not judged")
            return
        }
        guard case .failed(.protocolBreach, _) = pair.relay.received(HandshakePair.frame(pair.peer.opening)!),
            case .wait = pair.relay.judged(Grant(membership: .token(id: "t")), reason: "")
        else {
            Issue.record("a second hello was taken, or a late judgement")
            return
        }
    }

    @Test func `channels without encryption need both ends to ask`() {
        var wanted = HandshakePair(wantsPlain: true)
        guard case .established(let terms, _, let said) = wanted.run(welcome: HandshakePair.plainWelcome) else {
            Issue.record("refused")
            return
        }
        #expect(terms.protection.isPlain && said.wantsPlain)
        var unwanted = HandshakePair()
        guard case .refusedByPeer(.unexpected) = unwanted.run(welcome: HandshakePair.plainWelcome) else {
            Issue.record("a relay took the encryption away")
            return
        }
        var declined = HandshakePair(wantsPlain: true)
        guard case .established(let encrypted, _, _) = declined.run() else {
            Issue.record("refused")
            return
        }
        #expect(!encrypted.protection.isPlain)
    }

    @Test func `with any bit of a proof flipped nobody is let in`() {
        for message in 0..<2 {
            for at in 0..<MeshKey.proofByteCount {
                for bit in 0..<8 {
                    var pair = HandshakePair()
                    let outcome = pair.run { index, bytes in
                        guard index == message else { return bytes }
                        var bytes = bytes
                        // The proof is the first field of a hello, and the last of a membership.
                        let start =
                            message == 0
                            ? Preamble.byteCount + Frame.headerByteCount + 3 : bytes.count - MeshKey.proofByteCount
                        bytes[start + at] ^= 1 << UInt8(bit)
                        return bytes
                    }
                    if !outcome.isRefused { Issue.record("message \(message), byte \(at), bit \(bit)") }
                }
            }
        }
    }

    @Test func `a recorded hello is worth nothing on another connection`() {
        var recorded: [[UInt8]] = []
        var first = HandshakePair()
        _ = first.run { _, bytes in
            recorded.append(bytes)
            return bytes
        }
        var relay = HandshakePair(run: 5).relay
        guard case .failed(.notAMember, _) = relay.received(HandshakePair.frame(recorded[0])!) else {
            Issue.record("the recorded hello was accepted")
            return
        }
        var peer = HandshakePair(run: 5).peer
        guard case .failed(.unproven) = peer.received(HandshakePair.frame(recorded[1])!) else {
            Issue.record("the recorded membership was accepted")
            return
        }
    }

    @Test func `a handshake that failed stays failed`() {
        let bad = [
            Frame(type: 0x7f, payload: []), Frame(type: 0x80, payload: []), Frame(type: 0x02, payload: [1]),
            RelayMessage.ping(1).frame, RelayMessage.close(.limitReached, detail: "").frame,
            HandshakePair.welcome.frame,
        ]
        for frame in bad {
            var (pair, other) = (HandshakePair(), HandshakePair())
            guard case .failed = pair.peer.received(frame) else {
                Issue.record("the peer accepted \(frame)")
                continue
            }
            #expect(pair.run().isRefused)
            guard case .failed = other.relay.received(frame) else {
                Issue.record("the relay accepted \(frame)")
                continue
            }
            #expect(other.run().isRefused)
        }
    }

    @Test func `why there is no session is said in words`() {
        var pair = HandshakePair()
        guard case .failed(let failure) = pair.peer.received(RelayMessage.close(.notARelay, detail: "").frame) else {
            Issue.record("no failure")
            return
        }
        #expect(failure == .refused(.notARelay, ""))
        #expect(failure.description.contains("--reverse-proxy"))
        #expect(HandshakeFailure.refused(.notAMember, "").description.contains("p2prc join"))
        #expect(HandshakeFailure.version(9).description.contains("update this node"))
        #expect(HandshakeFailure.version(0).description.contains("update that node"))
    }
}
