package import PeerCore
package import PeerReactor
package import PeerWire

/// What a relay has on one loop: public ports lead to the data channels of sessions, and those for datagrams to the
/// sessions' datagrams.
package final class RelayLane {
    /// Called from the lane's loop.
    package struct Reports: Sendable {
        /// A session's peer should have so many channels ready.
        package var wantChannels: @Sendable (SessionID, Int) -> Void
        /// So many visitors were refused for want of descriptors, since the last tick.
        package var ranShort: @Sendable (UInt64) -> Void
        /// Nothing is heard of a session's peer, to which datagrams are sent.
        package var datagramsMissed: @Sendable (SessionID) -> Void

        package init(
            wantChannels: @escaping @Sendable (SessionID, Int) -> Void, ranShort: @escaping @Sendable (UInt64) -> Void,
            datagramsMissed: @escaping @Sendable (SessionID) -> Void
        ) {
            self.wantChannels = wantChannels
            self.ranShort = ranShort
            self.datagramsMissed = datagramsMissed
        }
    }

    private let lane: Lane
    private let hub: DatagramHub
    private let reports: Reports
    package let ports: AcceptingPorts
    package let channels: ChannelPools
    package let datagrams: DatagramPorts

    /// - Parameters:
    ///   - policy: this lane's share of it.
    ///   - socket: at the server's port, for datagrams of peers; `nil`: their frames take streams.
    package init(on loop: EventLoop, policy: VisitorPolicy, datagrams socket: DatagramSocket?, reports: Reports) {
        lane = Lane(on: loop)
        self.reports = reports
        hub = DatagramHub(on: loop, socket)
        channels = ChannelPools(on: lane, policy: policy, wantChannels: reports.wantChannels)
        ports = AcceptingPorts(on: lane, sessions: channels, policy: policy, ranShort: reports.ranShort)
        datagrams = DatagramPorts(on: loop, sessions: channels, policy: policy)
        lane.add(ports)
        lane.add(datagrams)
        lane.add(channels)
    }

    /// Call on the loop.
    package func start() throws(SystemError) { try hub.start() }

    package func timePassed() {
        lane.timePassed()
        for session in hub.missing() { reports.datagramsMissed(session) }
    }

    /// A session's datagrams come to this lane.
    ///
    /// - Parameter number: that they have in front.
    package func beginDatagrams(
        _ number: UInt32, of session: SessionID, key: NodeKey, _ secret: DatagramSecret,
        _ protection: DatagramSecret.Protection
    ) {
        let sealed = SealedDatagrams(
            secret, protection, sending: .toPeer, channel: number, at: lane.loop.now)
        let channel = RelayDatagrams(
            on: lane.loop, number: number, session: session, key: key, sealed, at: hub, to: datagrams)
        hub.add(channel)
        datagrams.add(channel)
    }

    /// The peer of a session has dialled a stream for frames of datagrams.
    package func addDatagramStream(_ stream: consuming Stream, _ number: UInt32, isRegistered: Bool) {
        hub[number]?.use(stream, isRegistered: isRegistered)
    }

    package func endDatagrams(_ number: UInt32, of session: SessionID) {
        hub[number]?.stop()
        hub.remove(number)
        datagrams.remove(session)
    }

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
        for (claim, counted) in datagrams.traffic() {
            traffic[claim, default: TrafficCounters()].add(counted)
        }
        return traffic
    }
}
