package import PeerCore
package import PeerReactor
package import PeerWire

/// Where a mapping's visitors go, as a lane needs to know it.
package struct Route: Sendable {
    /// The target's addresses for the first port, the best one first.
    package var addresses: [SocketAddress]
    /// Where a port is found elsewhere, by how many it is after the first one.
    package var hosts: [UInt16: SocketAddress.Host] = [:]
    /// How many ports from the first one on belong to it; a relay gets at no other.
    package var count: Int
    package var protocols: TransportProtocols
    /// How the target is told who each visitor is.
    package var proxyProtocol = ProxyProtocol.off
    /// The first public port at each relay, where the target is told so.
    package var places: [NodeKey: SocketAddress] = [:]
    /// What is known of the services behind the ports.
    package var services = ServiceStates()
    /// Those for UDP that are merely tried again: it is told when a datagram comes back from one.
    package var doubted: Set<UInt16> = []
    /// Nonces that a check from outside is about to bring, and to which port, as above.
    package var pendingChecks: [[UInt8]: UInt16] = [:]

    package init(addresses: [SocketAddress], count: Int, protocols: TransportProtocols = .tcp) {
        self.addresses = addresses
        self.count = count
        self.protocols = protocols
    }

    /// What the target gets in front of what a visitor says; mostly nothing.
    func header(
        _ transport: ProxyProtocol.Transport, for visitor: VisitorAddress, at relay: NodeKey, _ offset: UInt16
    ) -> [UInt8] {
        guard proxyProtocol != .off else { return [] }
        let place = places[relay] ?? .any(port: 0)
        let (port, isTooHigh) = place.port.addingReportingOverflow(place.port == 0 ? 0 : offset)
        let spokenTo = SocketAddress(host: place.host, port: isTooHigh ? 0 : port)
        return proxyProtocol.header(transport, from: visitor, to: spokenTo.visitorAddress)
    }

    /// Whether the target gets another header by this route than by that one.
    func tellsOtherwise(than former: Route) -> Bool {
        proxyProtocol != former.proxyProtocol || proxyProtocol != .off && places != former.places
    }

    func isChecked(_ offset: UInt16) -> Bool { pendingChecks.values.contains(offset) }

    /// Where visitors of a port are taken; `nil` for a port that does not belong to it.
    package func address(_ offset: UInt16) -> SocketAddress? {
        guard Int(offset) < count, let first = addresses.first else { return nil }
        let (port, isTooHigh) = first.port.addingReportingOverflow(offset)
        return isTooHigh ? nil : SocketAddress(host: hosts[offset] ?? first.host, port: port)
    }
}

/// The routes of this node's own mappings on one lane.
package final class RouteTable {
    private var routes: [MappingID: Route] = [:]

    package init() {}

    /// Some mapping is for datagrams.
    package var hasDatagrams: Bool { routes.values.contains { $0.protocols.contains(.udp) } }

    package subscript(_ mapping: MappingID) -> Route? {
        get { routes[mapping] }
        set { routes[mapping] = newValue }
    }

    subscript(_ destination: Destination) -> Route? {
        if case .own(let mapping) = destination { routes[mapping] } else { nil }
    }
}
