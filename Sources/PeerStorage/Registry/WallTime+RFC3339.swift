public import PeerCore
import PeerWire

extension WallTime {
    /// `2030-01-31T12:00:00Z` (RFC 3339, UTC, whole seconds). Times before the year 1 or after 9999, which the format
    /// cannot say, become the nearest that it can.
    public var rfc3339: String { RFC3339.text(unixSeconds: seconds) }

    /// Reads exactly what `rfc3339` writes; `nil` for other spellings and for days that no calendar has.
    public init?(rfc3339 text: String) {
        guard let seconds = RFC3339.unixSeconds(of: text) else { return nil }
        self.init(seconds: seconds)
    }
}
