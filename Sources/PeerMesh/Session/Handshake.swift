public import PeerWire

/// What a finished handshake leaves behind.
public struct SessionTerms: Sendable {
    public var session: SessionID
    public var secret: SessionSecret
    /// Who the other end proved to be.
    public var key: NodeKey
    public var name: String
}

/// The peer's half of the handshake.
///
/// ```
/// peer                                relay
///   preamble, hello(key, ephemeral, nonce) ──▶
///         ◀── challenge(key, ephemeral, nonce, signature over all of it)
///   proof(signature over all of it, who I am) ──▶
///         ◀── welcome(session) or close(reason)
/// ```
/// Can become: sentHello → sentProof → done, and failed from each.
public struct PeerHandshake: Sendable {
    private enum State: Sendable { case sentHello, sentProof(SessionSecret, NodeKey), done }

    public enum Action: Sendable {
        case send([UInt8])
        case established(SessionTerms, channels: UInt16, observed: String)
        case failed(HandshakeFailure)
    }

    public struct Introduction: Sendable {
        public var instance: ProcessInstance
        public var name: String
        public var dialled: String
        public var software: String

        public init(instance: ProcessInstance, name: String, dialled: String, software: String) {
            self.instance = instance
            self.name = name
            self.dialled = dialled
            self.software = software
        }
    }

    private var state = State.sentHello
    private var transcript = Transcript()
    private let identity: NodeIdentity
    private let ephemeral: EphemeralKey
    private let introduction: Introduction

    /// What to send first.
    public let opening: [UInt8]

    /// `nonce` has 32 random bytes.
    public init(identity: NodeIdentity, ephemeral: EphemeralKey, nonce: [UInt8], introduction: Introduction) {
        self.identity = identity
        self.ephemeral = ephemeral
        self.introduction = introduction
        let hello = Message.hello(
            Message.Hello(key: identity.key, ephemeral: ephemeral.publicBytes, nonce: nonce))
        opening = Preamble(kind: .session).bytes + hello.bytes
        transcript.add(opening)
    }

    public mutating func received(_ frame: Frame) -> Action {
        let message: Message
        do {
            guard let known = try Message(frame) else {
                state = .done
                return .failed(.unexpected)
            }
            message = known
        } catch {
            state = .done
            return .failed(.breach(error.description))
        }
        if case .close(let reason, let detail) = message {
            state = .done
            return .failed(.refused(reason, detail))
        }
        switch (state, message) {
        case (.sentHello, .challenge(let challenge)): return answer(challenge, frame)
        case (.sentProof(let secret, let key), .welcome(let welcome)):
            state = .done
            return .established(
                SessionTerms(session: welcome.session, secret: secret, key: key, name: welcome.name),
                channels: welcome.channels, observed: welcome.observed)
        case (.sentHello, _), (.sentProof, _), (.done, _):
            state = .done
            return .failed(.unexpected)
        }
    }

    private mutating func answer(_ challenge: Message.Challenge, _ frame: Frame) -> Action {
        var unsigned = challenge
        unsigned.signature = []
        transcript.add(Message.challenge(unsigned).bytes)
        guard challenge.key.isSignature(challenge.signature, for: transcript.signed(role: "relay")),
            let secret = ephemeral.secret(with: challenge.ephemeral, transcript: transcript.bytes)
        else {
            state = .done
            return .failed(.badProof)
        }
        transcript.add(frame.bytes)
        let proof = Message.proof(
            Message.Proof(
                signature: identity.signature(for: transcript.signed(role: "peer")),
                instance: introduction.instance, name: introduction.name, dialled: introduction.dialled,
                software: introduction.software))
        state = .sentProof(secret, challenge.key)
        return .send(proof.bytes)
    }
}

/// The relay's half. It proves its own key first: a peer learns whom it speaks to before it says who it is.
///
/// Can become: awaitsHello → awaitsProof → done, and failed from each.
public struct RelayHandshake: Sendable {
    private enum State: Sendable { case awaitsHello, awaitsProof(NodeKey, SessionSecret), done }

    public enum Action: Sendable {
        case send([UInt8])
        /// The key is proven; the relay's core decides whether it is welcome.
        case proven(NodeKey, SessionSecret, Message.Proof)
        case failed(CloseReason, String)
    }

    private var state = State.awaitsHello
    private var transcript = Transcript()
    private let identity: NodeIdentity
    private let ephemeral: EphemeralKey
    private let nonce: [UInt8]

    public init(identity: NodeIdentity, ephemeral: EphemeralKey, nonce: [UInt8]) {
        self.identity = identity
        self.ephemeral = ephemeral
        self.nonce = nonce
    }

    public mutating func received(_ frame: Frame) -> Action {
        let message: Message
        do {
            guard let known = try Message(frame) else { return fail(.protocolBreach, "not a handshake") }
            message = known
        } catch { return fail(.protocolBreach, error.detail) }
        switch (state, message) {
        case (.awaitsHello, .hello(let hello)): return answer(hello, frame)
        case (.awaitsProof(let key, let secret), .proof(let proof)):
            state = .done
            guard key.isSignature(proof.signature, for: transcript.signed(role: "peer")) else {
                return .failed(.badProof, "the signature does not fit the key")
            }
            return .proven(key, secret, proof)
        case (.awaitsHello, _), (.awaitsProof, _), (.done, _):
            return fail(.protocolBreach, "not the message that was expected")
        }
    }

    private mutating func answer(_ hello: Message.Hello, _ frame: Frame) -> Action {
        transcript.add(Preamble(kind: .session).bytes + frame.bytes)
        var challenge = Message.Challenge(
            key: identity.key, ephemeral: ephemeral.publicBytes, nonce: nonce, signature: [])
        transcript.add(Message.challenge(challenge).bytes)
        guard let secret = ephemeral.secret(with: hello.ephemeral, transcript: transcript.bytes) else {
            return fail(.badProof, "the ephemeral key is none")
        }
        challenge.signature = identity.signature(for: transcript.signed(role: "relay"))
        let bytes = Message.challenge(challenge).bytes
        transcript.add(bytes)
        state = .awaitsProof(hello.key, secret)
        return .send(bytes)
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
    case badProof
    case unexpected
    case breach(String)

    public var description: String {
        switch self {
        case .refused(.notARelay, _): "it is no relay (it was not started with --reverse-proxy)"
        case .refused(.superseded, _): "another process with this node's key took over"
        case .refused(let reason, let detail):
            "it refused the session (\(reason)\(detail.isEmpty ? "" : ": " + detail))"
        case .version(let highest):
            highest > Preamble.version
                ? "it speaks protocol version \(highest), this p2prc \(Preamble.version): update this node"
                : "it speaks protocol version \(highest), this p2prc \(Preamble.version): update that node"
        case .badProof: "it could not prove its key"
        case .unexpected: "it is no p2prc relay, or it broke the protocol"
        case .breach(let detail): detail
        }
    }
}
