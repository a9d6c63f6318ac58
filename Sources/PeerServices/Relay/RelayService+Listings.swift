public import PeerCore
public import PeerDataPlane
internal import PeerReactor

/// What a relay tells about one mapping that it carries.
public struct CarriedMapping: Sendable {
    public var standing: RelayCore.Standing
    public var isLive: Bool
    /// The host by which visitors reach it, as far as the peer's way here tells.
    public var host: String?
    /// Whether its data channels go without encryption; `nil` without a session.
    public var isPlain: Bool?
    /// Visitors are refused for want of descriptors.
    public var isShort: Bool
    public var traffic: TrafficCounters
}

/// What a relay carries, for listings.
extension RelayService {
    /// Asks the lanes for their counters and answers on the control loop.
    public func report(_ answer: @escaping @Sendable ([CarriedMapping]) -> Void) {
        let bound = LoopBound(self, on: loop)
        lanes.report { traffic in answer(bound.value.mappings(traffic)) }
    }

    /// What is carried, without counters.
    public func mappings(_ traffic: [Claim: TrafficCounters] = [:]) -> [CarriedMapping] {
        core.standings.map { standing in
            let claim = Claim(key: standing.lease.key, mapping: standing.lease.mapping)
            let session = standing.session.flatMap { core.session($0) }
            return CarriedMapping(
                standing: standing, isLive: session != nil, host: standing.session.flatMap { host(of: $0) },
                isPlain: standing.session.flatMap { sessions[$0]?.isPlain }, isShort: shortage.isThere,
                traffic: traffic[claim] ?? TrafficCounters())
        }
    }
}
