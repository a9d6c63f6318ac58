public import PeerCore

/// The wall clock in milliseconds since 1970, for what the IP table remembers. Never read here: it comes in as an
/// argument.
public struct UnixTime: Comparable, Hashable, Sendable {
    public var milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// The start of that second.
    public init(_ time: WallTime) {
        let (milliseconds, isTooFar) = time.seconds.multipliedReportingOverflow(by: 1_000)
        self.milliseconds = isTooFar ? (time.seconds < 0 ? .min : .max) : milliseconds
    }

    /// The second that this lies in.
    public var wallTime: WallTime {
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1_000)
        return WallTime(seconds: rest < 0 ? seconds - 1 : seconds)
    }

    public static func < (left: UnixTime, right: UnixTime) -> Bool { left.milliseconds < right.milliseconds }
}
