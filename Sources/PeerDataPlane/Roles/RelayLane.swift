package import PeerCore
package import PeerReactor
package import PeerWire

/// What a relay has on one loop: public ports lead to the data channels of sessions.
package final class RelayLane {
    private let lane: Lane
    package let ports: AcceptingPorts
    package let channels: ChannelPools

    /// - Parameters:
    ///   - policy: this lane's share of it.
    ///   - wantChannels: tells a session's peer how many channels are to be ready.
    ///   - ranShort: told with each tick how many visitors were refused for want of descriptors, if any.
    package init(
        on loop: EventLoop, policy: VisitorPolicy, wantChannels: @escaping @Sendable (SessionID, Int) -> Void,
        ranShort: @escaping @Sendable (UInt64) -> Void
    ) {
        lane = Lane(on: loop)
        channels = ChannelPools(on: lane, policy: policy, wantChannels: wantChannels)
        ports = AcceptingPorts(on: lane, sessions: channels, policy: policy, ranShort: ranShort)
        lane.add(ports)
        lane.add(channels)
    }

    package func timePassed() { lane.timePassed() }

    package func abortVisitors(of key: NodeKey) {
        lane.abort { if case .claim(let claim) = $0 { claim.key == key } else { false } }
    }

    package func abortVisitors(of claim: Claim) {
        lane.abort { $0 == .claim(claim) }
        lane.forgetCounters(of: .claim(claim))
    }

    /// Counters of all claims, with what is under way.
    package func traffic() -> [Claim: TrafficCounters] {
        var traffic: [Claim: TrafficCounters] = [:]
        for case (.claim(let claim), let counters) in lane.traffic() { traffic[claim] = counters }
        return traffic
    }
}
