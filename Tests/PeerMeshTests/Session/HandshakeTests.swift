import PeerMesh
import PeerWire
import Testing

/// Both halves of a handshake with fixed keys; the shell's parts (`welcome`, session numbers) are played here.
struct HandshakePair {
    static let peerKey = NodeIdentity(seed: .seed(1))!
    static let relayKey = NodeIdentity(seed: .seed(2))!
    static let welcome = Message.welcome(
        .init(session: .number(77), name: "relay", observed: "203.0.113.1:999", software: "test", channels: 6))

    var peer: PeerHandshake
    var relay: RelayHandshake

    /// `run` changes what is drawn for one session: ephemeral keys and nonces.
    init(run: UInt64 = 0, relayRun: UInt64? = nil) {
        let relayRun = relayRun ?? run
        peer = PeerHandshake(
            identity: Self.peerKey, ephemeral: EphemeralKey(seed: .seed(100 + run))!, nonce: .seed(200 + run),
            introduction: .init(instance: .number(9), name: "peer", dialled: "relay.example.org:8088", software: "test")
        )
        relay = RelayHandshake(
            identity: Self.relayKey, ephemeral: EphemeralKey(seed: .seed(300 + relayRun))!, nonce: .seed(400 + relayRun)
        )
    }

    /// Everything one end sends, as a frame; the preamble is the shell's to judge.
    static func frame(_ bytes: [UInt8]) -> Frame? {
        let rest = bytes.starts(with: Array("p2prc".utf8)) ? Array(bytes.dropFirst(Preamble.byteCount)) : bytes
        var decoder = FrameDecoder()
        decoder.append(rest)
        return (try? decoder.next()) ?? nil
    }

    enum Outcome {
        case established(SessionTerms, peer: NodeKey, relaySecret: SessionSecret, proof: Message.Proof)
        case refusedByPeer(HandshakeFailure)
        case refusedByRelay(CloseReason)
        /// The bytes made no frame: the shell closes, or waits until its limit.
        case nothing

        var isRefused: Bool { if case .established = self { false } else { true } }
    }

    /// Runs to the end; `onWay` may change each of the four messages, numbered from 0.
    mutating func run(_ onWay: (Int, [UInt8]) -> [UInt8] = { _, bytes in bytes }) -> Outcome {
        guard let hello = Self.frame(onWay(0, peer.opening)) else { return .nothing }
        let challenge: [UInt8]
        switch relay.received(hello) {
        case .send(let bytes): challenge = bytes
        case .failed(let reason, _): return .refusedByRelay(reason)
        case .proven: preconditionFailure("proven by a hello")
        }
        guard let frame = Self.frame(onWay(1, challenge)) else { return .nothing }
        let proof: [UInt8]
        switch peer.received(frame) {
        case .send(let bytes): proof = bytes
        case .failed(let failure): return .refusedByPeer(failure)
        case .established: preconditionFailure("established by a challenge")
        }
        guard let proofFrame = Self.frame(onWay(2, proof)) else { return .nothing }
        switch relay.received(proofFrame) {
        case .send: preconditionFailure("the relay answers a proof")
        case .failed(let reason, _): return .refusedByRelay(reason)
        case .proven(let key, let secret, let words):
            guard let last = Self.frame(onWay(3, Self.welcome.bytes)) else { return .nothing }
            switch peer.received(last) {
            case .send: preconditionFailure("the peer answers a welcome")
            case .failed(let failure): return .refusedByPeer(failure)
            case .established(let terms, _, _):
                return .established(terms, peer: key, relaySecret: secret, proof: words)
            }
        }
    }
}

@Suite struct HandshakeTests {
    @Test func `both ends prove their keys and share a secret`() throws {
        var pair = HandshakePair()
        guard case .established(let terms, let peer, let secret, let proof) = pair.run() else {
            Issue.record("not established")
            return
        }
        #expect(terms.key == HandshakePair.relayKey.key)
        #expect(peer == HandshakePair.peerKey.key)
        #expect(terms.session == .number(77) && terms.name == "relay")
        #expect(proof.instance == .number(9) && proof.name == "peer" && proof.dialled == "relay.example.org:8088")
        let hello = DataChannelHello(session: terms.session, number: 1, secret: terms.secret)
        #expect(hello.isProven(by: secret))
    }

    @Test func `two sessions share no secret`() {
        var (one, other) = (HandshakePair(run: 0), HandshakePair(run: 1))
        guard case .established(let terms, _, _, _) = one.run(), case .established(_, _, let secret, _) = other.run()
        else {
            Issue.record("not established")
            return
        }
        #expect(!DataChannelHello(session: terms.session, number: 1, secret: terms.secret).isProven(by: secret))
    }

    @Test(arguments: 0..<3)
    func `with any byte of a message flipped nothing is established, or with the same keys and secret`(
        message: Int
    ) {
        var lengths = [0, 0, 0, 0]
        var whole = HandshakePair()
        _ = whole.run { index, bytes in
            lengths[index] = bytes.count
            return bytes
        }
        for at in (message == 0 ? Preamble.byteCount : 0)..<lengths[message] {
            var pair = HandshakePair()
            let outcome = pair.run { index, bytes in
                guard index == message else { return bytes }
                var bytes = bytes
                bytes[at] ^= 1 << UInt8(at % 8)
                return bytes
            }
            // Hello and challenge are signed for from their first byte to their last; of a proof, what the peer calls
            // itself is not, its keys are.
            if message < 2 { #expect(outcome.isRefused, "byte \(at)") }
            guard case .established(let terms, let peer, let secret, _) = outcome else { continue }
            #expect(terms.key == HandshakePair.relayKey.key && peer == HandshakePair.peerKey.key, "byte \(at)")
            #expect(DataChannelHello(session: .number(1), number: 1, secret: terms.secret).isProven(by: secret))
        }
    }

    @Test func `a proof is refused with any byte of its signature flipped`() {
        for at in 0..<64 {
            var pair = HandshakePair()
            let outcome = pair.run { index, bytes in
                guard index == 2 else { return bytes }
                var bytes = bytes
                bytes[Frame.headerByteCount + 3 + at] ^= 0x10
                return bytes
            }
            guard case .refusedByRelay(.badProof) = outcome else {
                Issue.record("byte \(at): \(outcome)")
                continue
            }
        }
    }

    @Test func `a recorded hello and proof are worth nothing in another session`() {
        var recorded: [[UInt8]] = []
        var first = HandshakePair()
        _ = first.run { _, bytes in
            recorded.append(bytes)
            return bytes
        }
        var relay = HandshakePair(run: 5).relay
        guard case .send = relay.received(HandshakePair.frame(recorded[0])!) else {
            Issue.record("the relay did not answer the recorded hello")
            return
        }
        guard case .failed(.badProof, _) = relay.received(HandshakePair.frame(recorded[2])!) else {
            Issue.record("the recorded proof was accepted")
            return
        }
    }

    @Test func `a recorded challenge is worth nothing in another session`() {
        var recorded: [[UInt8]] = []
        var first = HandshakePair()
        _ = first.run { _, bytes in
            recorded.append(bytes)
            return bytes
        }
        var second = HandshakePair(run: 5)
        guard case .refusedByPeer(.badProof) = second.run({ $0 == 1 ? recorded[1] : $1 }) else {
            Issue.record("the recorded challenge was accepted")
            return
        }
    }

    @Test func `a challenge with an ephemeral key that is none is refused although it is signed`() {
        let pair = HandshakePair()
        var peer = pair.peer
        var transcript = Transcript()
        transcript.add(peer.opening)
        var challenge = Message.Challenge(
            key: HandshakePair.relayKey.key, ephemeral: [UInt8](repeating: 0, count: 32), nonce: .seed(1), signature: []
        )
        transcript.add(Message.challenge(challenge).bytes)
        challenge.signature = HandshakePair.relayKey.signature(for: transcript.signed(role: "relay"))
        guard case .failed(.badProof) = peer.received(Message.challenge(challenge).frame) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func `a signature of one role is none of the other`() {
        // A relay that sends the peer's own words back proves nothing with them.
        var peer = HandshakePair().peer
        var transcript = Transcript()
        transcript.add(peer.opening)
        var challenge = Message.Challenge(
            key: HandshakePair.peerKey.key, ephemeral: EphemeralKey(seed: .seed(1))!.publicBytes, nonce: .seed(1),
            signature: [])
        transcript.add(Message.challenge(challenge).bytes)
        challenge.signature = HandshakePair.peerKey.signature(for: transcript.signed(role: "peer"))
        guard case .failed(.badProof) = peer.received(Message.challenge(challenge).frame) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func `a handshake that failed stays failed`() {
        let bad = [
            Frame(type: 0x7f, payload: []), Frame(type: 0x80, payload: []), Frame(type: 0x02, payload: [1]),
            Message.ping(1).frame, Message.close(.limitReached, detail: "").frame, HandshakePair.welcome.frame,
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
        guard case .failed(let failure) = pair.peer.received(Message.close(.notARelay, detail: "").frame) else {
            Issue.record("no failure")
            return
        }
        #expect(failure == .refused(.notARelay, ""))
        #expect(failure.description.contains("--reverse-proxy"))
        #expect(HandshakeFailure.version(9).description.contains("update this node"))
        #expect(HandshakeFailure.version(0).description.contains("update that node"))
    }
}
