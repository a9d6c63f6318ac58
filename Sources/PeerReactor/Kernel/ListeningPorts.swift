internal import CLinux
public import PeerWire

/// Which ports of this machine have a service that 127.0.0.1 reaches, as the system tells (sock_diag(7)): for TCP a
/// listener, for UDP a socket that takes datagrams of everybody. So a local service can be watched without a word to
/// it.
public struct ListeningPorts: Sendable {
    private static let capacity = 65_536
    /// `nil`: the system does not tell.
    private let ports: Set<UInt16>?

    /// Asks the system.
    ///
    /// - Parameter transport: TCP or UDP.
    public init(_ transport: TransportProtocols = .tcp) {
        ports = withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.capacity) { buffer in
            let capacity = Int32(Self.capacity)
            let count =
                transport == .udp
                ? clinux_datagram_ports(buffer.baseAddress, capacity)
                : clinux_listening_ports(buffer.baseAddress, capacity)
            return count < 0 ? nil : Set(buffer.prefix(Int(count)))
        }
    }

    /// The system tells.
    public var isKnown: Bool { ports != nil }

    /// Whether something is there for 127.0.0.1:`port`, as far as the system tells.
    public func contains(_ port: UInt16) -> Bool { ports?.contains(port) ?? false }
}
