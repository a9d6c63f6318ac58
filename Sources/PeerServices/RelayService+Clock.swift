internal import Logging
internal import PeerMesh

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

    private static func text(_ seconds: UInt64) -> String {
        switch seconds {
        case ..<7_200: "\(seconds / 60) minutes"
        case ..<172_800: "\(seconds / 3_600) hours"
        default: "\(seconds / 86_400) days"
        }
    }
}
