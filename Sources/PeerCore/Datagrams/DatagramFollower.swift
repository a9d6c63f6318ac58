public import PeerWire

/// What a relay knows of the way to a peer: where its newest genuine datagram came from, and what the peer says of what
/// gets through (`DatagramPath`). No I/O, no clock.
public struct DatagramFollower: Sendable {
    /// The relay sends, and has heard nothing for so long.
    private static let silence = Instant.Span.milliseconds(400)
    /// The peer is told of that so often at most.
    private static let pause = Instant.Span.seconds(1)

    /// Where the peer is; `nil`: nothing has come of it yet.
    public private(set) var peer: DatagramAddress?
    /// The peer takes frames by its stream.
    public private(set) var prefersStream = false
    /// How many bytes a datagram may have, all in all.
    public private(set) var largest = DatagramPath.base
    private var newest: DatagramNumber?
    private var newestProbe: UInt32 = 0
    private var unheardSince: Instant?
    private var lastMissed: Instant?

    public init() {}

    /// A genuine datagram came that counts.
    ///
    /// - Parameter source: where it came from. The peer's address may change at any time; what was late says nothing.
    /// - Returns: whether it is the newest one.
    @discardableResult
    public mutating func heard(_ number: DatagramNumber, from source: DatagramAddress) -> Bool {
        unheardSince = nil
        guard newest.map({ $0 < number }) ?? true else { return false }
        newest = number
        peer = source
        return true
    }

    /// The peer told what it uses, with the newest probe.
    public mutating func told(_ probe: DatagramFrame.Probe) {
        guard probe.number > newestProbe else { return }
        newestProbe = probe.number
        prefersStream = probe.prefersStream
        largest = max(DatagramPath.base, Int(probe.largest))
    }

    /// Something went to the peer as a datagram.
    public mutating func sent(at now: Instant) { if unheardSince == nil { unheardSince = now } }

    /// Whether the peer is to be told, by its session, that nothing was heard of it.
    public mutating func isMissing(at now: Instant) -> Bool {
        guard let unheardSince, now - unheardSince >= Self.silence else { return false }
        if let lastMissed, now - lastMissed < Self.pause { return false }
        lastMissed = now
        return true
    }
}
