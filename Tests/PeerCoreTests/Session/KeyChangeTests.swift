import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A relay or a peer that goes by another key than before, in the handshake and in the list of knownRelays.
@Suite struct KeyChangeTests {
    static let old = NodeIdentity(seed: .seed(2))!
    static let new = NodeIdentity(seed: .seed(3))!
    static let history = KeyHistory([
        KeySuccession(from: old, to: new, made: WallTime.start.seconds, until: WallTime.start.seconds + 1_000)
    ])

    /// A handshake with the relay under its new key, with a peer that knew the old one.
    static func run(
        _ history: KeyHistory = history, at now: WallTime = .start, pinned: NodeKey = old.key,
        rules: RelayHandshake.AdmissionRules? = nil,
        credentials: PeerHandshake.Credentials = .init(meshKeys: [HandshakePair.meshKey])
    ) -> (failure: HandshakeFailure?, terms: SessionTerms?, saw: [PeerMessage]) {
        let secrets = HandshakePair.secrets(0)
        var peer = PeerHandshake(
            with: new.key, secrets: secrets, credentials: credentials,
            introduction: .init(instance: .number(9), name: "peer", dialled: "relay", software: "test"),
            pin: .init(key: pinned, complaint: "its key changed", now: now))
        var relay = RelayHandshake(
            rules: rules ?? .init(meshKeys: [HandshakePair.meshKey], isOpen: false, history: history),
            binding: secrets.binding)
        var saw: [PeerMessage] = []
        var toRelay = peer.opening
        while let frame = HandshakePair.frame(toRelay) {
            if let message = try? PeerMessage(frame) { saw.append(message) }
            let answer: [UInt8]
            switch relay.received(frame) {
            case .send(let bytes): answer = bytes
            case .introduced: answer = HandshakePair.welcome.bytes
            case .failed(let reason, let detail): answer = RelayMessage.close(reason, detail: detail).bytes
            case .judge, .wait: return (nil, nil, saw)
            }
            guard let back = HandshakePair.frame(answer) else { return (nil, nil, saw) }
            switch peer.received(back) {
            case .send(let bytes): toRelay = bytes
            case .failed(let failure): return (failure, nil, saw)
            case .established(let terms, _, _): return (nil, terms, saw)
            }
        }
        return (nil, nil, saw)
    }

    @Test func `a peer follows a relay whose former key was handed over to the one it proves`() throws {
        let terms = try #require(Self.run().terms)
        #expect(terms.key == Self.new.key && terms.formerKeys == [Self.old.key])
    }

    @Test func `without a good history the peer says its complaint, and has shown nothing but a key`() {
        let reversed = KeyHistory([
            KeySuccession(from: Self.new, to: Self.old, made: WallTime.start.seconds, until: WallTime.start.seconds + 9)
        ])
        for (history, now) in [
            (KeyHistory(), WallTime.start), (reversed, .start), (Self.history, .start + 1_000),
        ] {
            let result = Self.run(history, at: now)
            #expect(result.failure == .keyChanged("its key changed"))
            #expect(result.saw == [.keyHistoryWanted(Self.old.key)])
        }
        let other = Self.run(pinned: .number(7))
        #expect(other.failure == .keyChanged("its key changed") && other.saw.count == 1)
    }

    @Test func `a history of another relay's key convinces nobody`() {
        let other = NodeIdentity(seed: .seed(9))!
        let foreign = KeyHistory([
            KeySuccession(
                from: Self.old, to: other, made: WallTime.start.seconds, until: WallTime.start.seconds + 1_000)
        ])
        // The relay sends what it has, the peer asks for the key that it proves.
        #expect(Self.run(foreign).failure == .keyChanged("its key changed"))
    }

    @Test func `whoever asks for the history still has to prove that it is a member`() {
        let result = Self.run(credentials: .init())
        #expect(result.failure == .refused(.notAMember, ""))
    }

    @Test func `the history is told once`() {
        var relay = RelayHandshake(
            rules: .init(meshKeys: [], isOpen: true, history: Self.history), binding: HandshakePair.secrets(0).binding)
        let question = PeerMessage.keyHistoryWanted(Self.old.key).frame
        guard case .send = relay.received(question), case .failed(.protocolBreach, _) = relay.received(question) else {
            Issue.record("it was told twice")
            return
        }
    }

    @Test func `a relay that says nothing is complained about as one with another key`() {
        var link = RelayLink(seed: 1, at: .zero)
        _ = link.timePassed(at: .zero)
        _ = link.reached(at: .zero)
        let peer = PeerHandshake(
            with: Self.new.key, secrets: HandshakePair.secrets(0), credentials: .init(),
            introduction: .init(instance: .number(9), name: "", dialled: "", software: ""),
            pin: .init(key: Self.old.key, complaint: "its key changed", now: .start))
        _ = link.secured(peer, at: .zero)
        let explained = link.closed("closed", at: .at(1)).compactMap { action -> String? in
            if case .explain(let reason) = action { reason } else { nil }
        }
        #expect(explained == ["its key changed"])
    }

    @Test func `the pinned key is replaced by the one it was handed over to, and tokens for it are still shown`() {
        var knownRelays = KnownRelays()
        knownRelays.join(JoinLink(address: "relay:1", relay: Self.old.key, meshKey: nil), at: "relay:1")
        knownRelays.join(withToken: "t", at: "relay:1")
        refused(knownRelays.follow([.number(7)], to: Self.new.key, at: "relay:1"))
        refused(knownRelays.follow([Self.old.key], to: Self.new.key, at: "other:1"))
        accepted(knownRelays.follow([.number(7), Self.old.key], to: Self.new.key, at: "relay:1"))
        #expect(knownRelays["relay:1"].key == Self.new.key && knownRelays["relay:1"].formerKeys == [Self.old.key])
        refused(knownRelays.follow([Self.old.key], to: Self.new.key, at: "relay:1"))
        let shown = knownRelays.credentials(for: Self.new.key, at: "relay:1", own: []) { $1 == Self.old.key }
        #expect(shown.token == "t" && shown.isKeyKnown)
        let strange = knownRelays.credentials(for: .number(8), at: "relay:1", own: []) { $1 == Self.new.key }
        #expect(strange.token == nil && !strange.isKeyKnown)
        let asked = knownRelays.credentials(for: .number(8), at: "relay:1", own: [], isPinned: true) {
            $1 == Self.old.key
        }
        #expect(asked.token == "t" && !asked.isKeyKnown)
        let foreign = knownRelays.credentials(for: Self.new.key, at: "relay:1", own: []) { $1 == .number(7) }
        #expect(foreign.token == nil)
        knownRelays.trust(.number(8), at: "relay:1")
        #expect(knownRelays["relay:1"].formerKeys.isEmpty)
    }
}
