/// What somebody may have a node do in a second. Two things are counted: frames of sessions, which are read no faster,
/// and ports that the system is asked about (to bind them, to open them, to look whether they are free).
///
/// A session has one, and so has its membership, for keys and sessions cost nothing to make. One session alone gets at
/// most half of what its membership has of ports, and a quarter of the frames, so the others of the membership are not
/// left without.
public struct Workload: Hashable, Sendable {
    /// A second, and at once. At once is what comes back after a restart of the relay: a session's mappings, with five
    /// frames each.
    public struct Limits: Hashable, Sendable {
        public struct Rate: Hashable, Sendable {
            public var perSecond: Int
            public var burst: Int

            public init(perSecond: Int, burst: Int) {
                self.perSecond = perSecond
                self.burst = burst
            }

            func bucket(at now: Instant) -> RateBucket { RateBucket(perSecond: perSecond, burst: burst, at: now) }
        }

        public var ports: Rate
        public var frames: Rate

        public init(ports: Rate, frames: Rate) {
            self.ports = ports
            self.frames = frames
        }

        /// For one session of a relay.
        public static let session = Limits(
            ports: Rate(perSecond: 128, burst: 4_096), frames: Rate(perSecond: 1_024, burst: 16_384))
        /// For all sessions of one membership together.
        public static let membership = Limits(
            ports: Rate(perSecond: 256, burst: 8_192), frames: Rate(perSecond: 4_096, burst: 65_536))
        /// For a relay, at its peer, where it can ask for no ports. A busy one says often how many data channels it
        /// wants.
        public static let relay = Limits(
            ports: Rate(perSecond: 1, burst: 1), frames: Rate(perSecond: 4_096, burst: 16_384))
    }

    private var ports: RateBucket
    private var frames: RateBucket

    public init(_ limits: Limits, at now: Instant) {
        ports = limits.ports.bucket(at: now)
        frames = limits.frames.bucket(at: now)
    }

    /// How many ports may be asked for now.
    mutating func portsLeft(at now: Instant) -> Int { ports.available(at: now) }

    mutating func takePorts(_ count: Int, at now: Instant) { _ = ports.take(upTo: count, at: now) }

    /// `nil`: a frame may be read now. Otherwise how long to wait.
    public mutating func wait(at now: Instant) -> Instant.Span? {
        guard frames.available(at: now) == 0 else { return nil }
        return frames.ready() - now
    }

    public mutating func countFrame(at now: Instant) { _ = frames.take(1, at: now) }

    /// Whether it is as if nothing had ever been asked.
    mutating func isUnused(at now: Instant) -> Bool { ports.isFull(at: now) && frames.isFull(at: now) }
}
