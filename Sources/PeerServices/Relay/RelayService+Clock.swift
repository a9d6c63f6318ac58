internal import Logging
internal import PeerCore

/// What the log says of a wall clock that is not to be trusted.
extension RelayService {
    func tellJump(_ seconds: Int64) {
        let way = seconds > 0 ? "ahead" : "back"
        let consequence =
            seconds > 0
            ? "leases and tokens go by the time that passed, and end by this clock when it has said so for an hour"
            : "leases go by the time that passed"
        log.warning("the clock of this machine jumped \(Self.text(seconds.magnitude)) \(way); \(consequence)")
    }

    func tellOver(_ count: Int) {
        guard count > 0 else { return }
        let whose = count == 1 ? "1 lease has" : "\(count) leases have"
        log.info("\(whose) run out by this machine's clock; unless the peer comes, the ports are given back in an hour")
    }

    /// To the nearest whole one: a clock set two days ahead reads 47:59:59 by the time that it is looked at.
    private static func text(_ seconds: UInt64) -> String {
        let (minute, hour, day): (UInt64, UInt64, UInt64) = (60, 3_600, 86_400)
        func text(_ unit: UInt64, _ name: String) -> String { "\((seconds + unit / 2) / unit) \(name)" }
        return seconds < 2 * hour - minute
            ? text(minute, "minutes") : seconds < 2 * day - hour ? text(hour, "hours") : text(day, "days")
    }
}
