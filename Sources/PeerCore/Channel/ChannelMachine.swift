public import PeerWire

/// A data channel as one of its ends sees it (docs/protocol.md, "Data channels"): what may come next, what this end may
/// say, and whether another visitor may follow. It sees the kinds of frames and never their bytes.
///
/// ```
/// announcer   idle ──start──▶ visiting ──both directions over──▶ returning ──ready──▶ idle
///                └──start that wants an answer──▶ proving ──alive──▶ visiting
/// listener    idle ──start──▶ visiting ──both directions over and passed on; it says ready──▶ idle
/// ```
/// After `raw` in a direction the channel serves no other visitor; after a breach it serves nobody.
public struct ChannelMachine: Equatable, Sendable {
    public enum Role: Sendable, CaseIterable {
        /// The end that announces visitors: the relay.
        case announcer
        /// The end that serves them: the peer.
        case listener
    }

    public enum Phase: Sendable, CaseIterable {
        /// Between two visitors.
        case idle
        /// The announcer has started a visitor, and waits for the proof that the channel lives.
        case proving
        case visiting
        /// The visitor is over at the announcer, and the listener may still be busy with it.
        case returning
        /// There was a breach.
        case spent
    }

    /// How far a visitor has come in one direction.
    public enum Direction: Sendable, CaseIterable {
        case running
        /// `end` was said.
        case ended
        /// `broken` was said.
        case broken
        /// `raw` was said: the direction ends with the connection.
        case raw

        /// Nothing more of this visitor comes in frames.
        var isOver: Bool { self == .ended || self == .broken }
    }

    /// What a frame means.
    public enum Step: Sendable {
        /// A visitor's start, the answer to one, or bytes.
        case goesOn
        /// The direction has ended.
        case ended
        /// The visitor was reset at the other end.
        case broken
        /// What follows has no frames.
        case raw
        /// The listener is through with the visitor.
        case ready
        /// This frame may not come here. The channel is closed.
        case breach
    }

    public let role: Role
    public private(set) var phase: Phase
    /// The direction from this end, of the visitor that is there or was the last one.
    public private(set) var said = Direction.running
    /// The direction to this end, as above.
    public private(set) var heard = Direction.running
    /// `raw` is for channels without encryption alone.
    private let allowsRaw: Bool

    /// - Parameter phase: idle, or a later one where the visitor was started before.
    public init(_ role: Role, _ phase: Phase = .idle, allowsRaw: Bool = true) {
        self.role = role
        self.phase = phase
        self.allowsRaw = allowsRaw
    }

    /// Whether another visitor may come after this one.
    public var servesAgain: Bool { phase != .spent && said != .raw && heard != .raw }

    /// Both ends have said their last word on the visitor.
    public var isOver: Bool { said.isOver && heard.isOver }

    /// This end has said its last word on the visitor.
    public var hasSaidLast: Bool { said.isOver }

    /// The other end has said its last word on the visitor.
    public var hasHeardLast: Bool { heard.isOver }

    /// Whether a visitor that was reset can be told of, so that the channel outlives it. Who ended its direction and
    /// was reset then cannot be told of any more. A client that leaves with an answer on its way does just that, so the
    /// announcer waits for the answer's end. At the listener it is the target, and a visitor would wait; the channel's
    /// reset tells the visitor at once.
    public var canRecover: Bool { servesAgain && !(role == .listener && said == .ended && !heard.isOver) }

    // MARK: What comes

    public mutating func hear(_ kind: ChannelFrame.Kind) -> Step {
        switch (phase, kind) {
        case (.idle, .start) where role == .listener:
            begin(.visiting)
            return .goesOn
        case (.proving, .alive):
            phase = .visiting
            return .goesOn
        case (.visiting, .bytes) where heard == .running: return .goesOn
        case (.visiting, .end) where heard == .running:
            heard = .ended
            settle()
            return .ended
        case (.visiting, .broken) where heard == .running:
            heard = .broken
            settle()
            return .broken
        case (.visiting, .raw) where heard == .running && allowsRaw:
            heard = .raw
            return .raw
        case (.returning, .ready):
            phase = .idle
            return .ready
        default:
            breach()
            return .breach
        }
    }

    /// The connection ended in the middle of a visitor, or what came is no frame.
    public mutating func breach() { phase = .spent }

    // MARK: What this end says

    /// The announcer starts a visitor on an idle channel.
    public mutating func start(wantsAnswer: Bool) { begin(wantsAnswer ? .proving : .visiting) }

    /// This direction has ended.
    ///
    /// - Parameter isPassedOn: what was heard of the visitor has been passed on, to its end.
    /// - Returns: what to send.
    public mutating func end(isPassedOn: Bool) -> [UInt8] {
        said = .ended
        settle()
        guard role == .listener, isOver, isPassedOn else { return ChannelFrame.end }
        phase = .idle
        return ChannelFrame.endAndReady
    }

    /// The visitor, or its target, was reset here.
    ///
    /// - Returns: what to send; `nil` where this end has said its last word before.
    public mutating func reset() -> [UInt8]? {
        guard said == .running else { return nil }
        said = .broken
        settle()
        return ChannelFrame.broken
    }

    /// What follows in this direction has no frames.
    ///
    /// - Returns: what to send.
    public mutating func goRaw() -> [UInt8] {
        said = .raw
        return ChannelFrame.raw
    }

    /// This end is through with the visitor: all that was heard of it has been passed on.
    ///
    /// - Returns: what to send; `nil` where there is nothing to say.
    public mutating func part() -> [UInt8]? {
        guard role == .listener, phase == .visiting, isOver else { return nil }
        phase = .idle
        return ChannelFrame.ready
    }

    /// The word that may come next, with no visitor's bytes before it; `nil` where none may.
    public var awaited: ChannelFrame.Kind? {
        switch (role, phase) {
        case (.listener, .idle): .start
        case (.announcer, .proving): .alive
        case (.announcer, .returning): .ready
        default: nil
        }
    }

    private mutating func begin(_ phase: Phase) {
        self.phase = phase
        said = .running
        heard = .running
    }

    private mutating func settle() {
        if role == .announcer, phase == .visiting, isOver { phase = .returning }
    }
}
