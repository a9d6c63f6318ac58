public import PeerWire

/// The numbers of the datagrams that one end sends: none twice, and a new key in time. No I/O, no clock.
public struct OutgoingNumbers: Sendable {
    /// Datagrams that one key seals at most.
    public static let lifetime: UInt64 = 1 << 30
    /// And for how long.
    public static let span = Instant.Span.seconds(3_600)

    private let lifetime: UInt64
    public private(set) var epoch: UInt16 = 0
    private var count: UInt64 = 0
    private var began: Instant

    public init(at now: Instant, lifetime: UInt64 = lifetime) {
        began = now
        self.lifetime = lifetime
    }

    /// `nil` after the last epoch: the session has to begin anew (after seven years at the least).
    public mutating func next(at now: Instant) -> DatagramNumber? {
        if count >= lifetime || now - began >= Self.span {
            guard epoch < .max else { return nil }
            epoch += 1
            count = 0
            began = now
        }
        defer { count += 1 }
        return DatagramNumber(epoch: epoch, count: count)
    }
}

/// The numbers of the datagrams that one end receives: each counts once, in the epoch that the other end is in, the one
/// before for as long as some of it may be on their way, and the next one as soon as something genuine comes of it. No
/// I/O, no clock.
public struct IncomingNumbers: Sendable {
    /// The former epoch's datagrams count for so long.
    public static let overlap = Instant.Span.seconds(10)

    public private(set) var epoch: UInt16 = 0
    private var window = ReplayWindow()
    private var former: (window: ReplayWindow, until: Instant)?
    /// The highest that counted.
    public private(set) var newest: DatagramNumber?

    public init() {}

    /// Whether a datagram with that number counts, if it is genuine.
    public func mayTake(_ number: DatagramNumber, at now: Instant) -> Bool {
        if number.epoch == epoch { return window.mayTake(number.count) }
        if epoch < .max, number.epoch == epoch + 1 { return true }
        guard let former, epoch > 0, number.epoch == epoch - 1, now < former.until else { return false }
        return former.window.mayTake(number.count)
    }

    /// Notes a genuine datagram.
    ///
    /// - Returns: whether it counts.
    public mutating func take(_ number: DatagramNumber, at now: Instant) -> Bool {
        guard mayTake(number, at: now) else { return false }
        if number.epoch > epoch {
            former = (window, now + Self.overlap)
            window = ReplayWindow()
            epoch = number.epoch
        }
        let isNew =
            number.epoch == epoch ? window.take(number.count) : former?.window.take(number.count) ?? false
        if isNew, newest.map({ $0 < number }) ?? true { newest = number }
        return isNew
    }
}
