public import PeerWire

/// What a peer reads of a relay's stream: the one answer that is no frame, and then frames, no faster than a relay may
/// send them (`Workload.Limits.relay`). No I/O, no clock.
public struct SessionReader: Sendable {
    public enum Step: Hashable, Sendable {
        case frame(Frame)
        /// The next frame may be read after this.
        case wait(Instant.Span)
        /// There is no whole frame yet.
        case none
    }

    private var decoder = FrameDecoder()
    private var greeting: [UInt8] = []
    /// Of the relay, session after session.
    private var work = Workload(.relay, at: .zero)

    public init() {}

    /// A new stream.
    public mutating func begin() {
        decoder = FrameDecoder()
        greeting = []
    }

    /// - Parameter isOpening: the handshake is not over, so the relay may say that it speaks another version.
    /// - Returns: that version; these bytes are no frames then.
    public mutating func received(_ bytes: [UInt8], isOpening: Bool) -> UInt16? {
        if isOpening, greeting.count < Preamble.byteCount {
            greeting += bytes.prefix(Preamble.byteCount - greeting.count)
            if case .preamble(let preamble) = Preamble.read(greeting), preamble.kind == .versionAnswer {
                return preamble.version
            }
        }
        decoder.append(bytes)
        return nil
    }

    public mutating func next(at now: Instant) throws(WireError) -> Step {
        if let span = work.wait(at: now) { return .wait(span) }
        guard let frame = try decoder.next() else { return .none }
        work.countFrame(at: now)
        return .frame(frame)
    }
}
