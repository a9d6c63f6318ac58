package import PeerCore
package import PeerReactor
package import PeerWire

/// What a peer has on one loop: the data channels to its relays lead to the targets of its mappings, and so do their
/// datagrams.
package final class PeerLane {
    package enum Report: Sendable {
        /// `port`: by how many it is after the first one.
        case targetFailed(MappingID, port: UInt16, over: TransportProtocols, String)
        /// A datagram came back from that port's target, which was merely tried again.
        case targetAnswered(MappingID, port: UInt16)
        /// Something came to where that port's target answers a visitor, from elsewhere. Once for a flow.
        case strayAnswer(MappingID, port: UInt16, from: DatagramAddress)
        /// A visitor, or a channel that one would come by, found no descriptor here.
        case ranShort
        /// A channel of a group was not to be had, or broke as soon as it was there, and none stands; or one does
        /// again.
        case channelFailed(ChannelGroup)
        case channelStands(ChannelGroup)
        /// Whether datagrams of a session get through to its relay; otherwise their frames take a data channel.
        case datagrams(SessionID, getThrough: Bool)
    }

    private let lane: Lane
    private let routes = RouteTable()
    package let channels: DialledChannels
    package let datagrams: DialledDatagrams

    /// - Parameters:
    ///   - share: of this process's descriptors.
    ///   - flows: of each mapping, as far as the descriptors go.
    ///   - identity: the node's, with whose key checks are answered.
    package init(
        on loop: EventLoop, carriers: Carriers, share: DescriptorShare, flows: FlowTable.Limits,
        identity: @escaping () -> NodeIdentity, report: @escaping @Sendable (Report) -> Void
    ) {
        lane = Lane(on: loop)
        channels = DialledChannels(on: lane, carriers: carriers, routes: routes, share: share, report: report)
        let targets = DatagramTargets(
            on: loop, routes: routes, share: share, flows: flows, identity: identity, report: report)
        datagrams = DialledDatagrams(on: loop, carriers: carriers, routes: routes, targets, report: report)
        lane.add(channels)
        lane.add(CheckAnswers(on: lane, routes: routes, identity: identity))
        lane.add(Targets(on: lane, routes: routes, share: share, report: report))
    }

    /// - Parameter route: `nil` when the mapping is no more: its visitors are broken off.
    package func setRoute(_ route: Route?, for mapping: MappingID) {
        let former = routes[mapping]
        routes[mapping] = route
        if let route, let former, route.tellsOtherwise(than: former) { datagrams.tellOtherwise(of: mapping) }
        datagrams.routesChanged()
        guard route == nil else { return }
        lane.abort { $0 == .own(mapping) }
        lane.forgetCounters(of: .own(mapping))
        datagrams.abort(mapping)
    }

    /// Counters of all mappings, with what is under way.
    package func traffic() -> [MappingID: TrafficCounters] {
        var traffic: [MappingID: TrafficCounters] = [:]
        for case (.own(let mapping), let counters) in lane.traffic() { traffic[mapping] = counters }
        for (mapping, counted) in datagrams.traffic() {
            traffic[mapping, default: TrafficCounters()].add(counted)
        }
        return traffic
    }
}
