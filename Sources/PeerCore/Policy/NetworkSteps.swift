public import PeerWire

/// The two steps in which a network is counted where addresses cost little: what one customer is given, and what one
/// provider has many of. Good enough without a table of autonomous systems.
public struct NetworkSteps: Hashable, Sendable {
    /// IPv4 /24, IPv6 /48.
    public let near: Network
    /// IPv4 /16, IPv6 /32.
    public let wide: Network

    public init(of host: HostAddress) {
        near = Network(of: host, prefixLength: host.isIPv6 ? 48 : 24)
        wide = Network(of: host, prefixLength: host.isIPv6 ? 32 : 16)
    }
}
