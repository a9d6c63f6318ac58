/// A point on a clock that only goes forward, in nanoseconds since a start that nobody may rely on.
///
/// The decisions in this layer read no clock: whoever calls them says what time it is.
public struct Instant: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static let zero = Instant(nanoseconds: 0)

    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    public static func + (instant: Instant, span: Span) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &+ span.nanoseconds)
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    public static func - (instant: Instant, earlier: Instant) -> Span {
        Span(nanoseconds: instant.nanoseconds > earlier.nanoseconds ? instant.nanoseconds - earlier.nanoseconds : 0)
    }

    /// A length of time, never negative.
    public struct Span: Comparable, Hashable, Sendable {
        public var nanoseconds: UInt64

        public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

        public static let zero = Span(nanoseconds: 0)
        public static func microseconds(_ count: UInt64) -> Span { Span(nanoseconds: count * 1_000) }
        public static func milliseconds(_ count: UInt64) -> Span { Span(nanoseconds: count * 1_000_000) }
        public static func seconds(_ count: UInt64) -> Span { Span(nanoseconds: count * 1_000_000_000) }

        public static func < (left: Span, right: Span) -> Bool { left.nanoseconds < right.nanoseconds }
        public static func + (left: Span, right: Span) -> Span {
            Span(nanoseconds: left.nanoseconds + right.nanoseconds)
        }
        /// What is left of it; nothing if `right` is longer.
        public static func - (left: Span, right: Span) -> Span {
            Span(nanoseconds: left.nanoseconds > right.nanoseconds ? left.nanoseconds - right.nanoseconds : 0)
        }
        public static func * (span: Span, factor: UInt64) -> Span { Span(nanoseconds: span.nanoseconds * factor) }
        public static func / (span: Span, divisor: UInt64) -> Span { Span(nanoseconds: span.nanoseconds / divisor) }

        public var milliseconds: Double { Double(nanoseconds) / 1_000_000 }
    }
}

/// The wall clock, in seconds since 1970: only for what must outlive a process (the expiry of a lease).
public struct WallTime: Comparable, Hashable, Sendable {
    public var seconds: Int64

    public init(seconds: Int64) { self.seconds = seconds }

    public static func < (left: WallTime, right: WallTime) -> Bool { left.seconds < right.seconds }
    public static func + (time: WallTime, seconds: Int64) -> WallTime { WallTime(seconds: time.seconds + seconds) }
}
