public import PeerCore
public import PeerDataPlane
public import PeerReactor
public import PeerWire

/// One mapping at one relay, for listings.
public struct ExposedMapping: Sendable {
    public var wish: MappingWish
    public var targetText: String
    public var relay: Endpoint
    public var relayName: String
    public var state: MappingState
    public var reason: String?
    /// Each port by itself, while it is active; none otherwise.
    public var standings: [PeerPortAgreement.Standing]
    /// What is known of the services behind them, of each protocol by itself.
    public var services = ServiceStates()
    public var refusal: RefusalReason?
    public var host: String?
    public var ports: PortRange?
    /// Those that the relay gives out, where it says so.
    public var relayPorts: PortRange?
    /// What did not come through when one was checked last without success.
    public var closed: TransportProtocols?
    /// The file in the home, where both have signed one.
    public var receipt: String?
    /// Whether data channels go without encryption; `nil` without a session.
    public var isPlain: Bool?
    /// Visitors' datagrams take a data channel, because no UDP gets through to the relay.
    public var takesStream = false
    /// Attempts in a row that failed for a known reason, where there is no session.
    public var failures: Int
    /// Visitors are refused for want of descriptors.
    public var isShort = false
    /// The user named the relay; otherwise this node chose it.
    public var isNamed = true
    public var traffic: TrafficCounters

    /// Each port by itself, for one protocol: the relay has a port open as long as one of its services answers.
    public func standings(of transport: TransportProtocols) -> [PeerPortAgreement.Standing] {
        let silent = services[transport].silent
        guard !silent.isEmpty else { return standings }
        return standings.enumerated().map { offset, standing in
            silent[UInt16(offset)].map { PeerPortAgreement.Standing(state: .targetDown, reason: $0) } ?? standing
        }
    }
}

/// One relay that this node uses, for listings.
public struct RelayStanding: Sendable {
    public enum State: Sendable { case connected, connecting, refused }
    public var endpoint: Endpoint
    public var name: String?
    public var key: NodeKey?
    public var state: State
    public var reason: String?
    public var latency: Instant.Span?
    public var lastHeard: WallTime?
    /// Whether data channels go without encryption; `nil` without a session.
    public var isPlain: Bool?
}
