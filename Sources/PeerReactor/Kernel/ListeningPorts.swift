internal import CLinux

/// Which TCP ports of this machine have a listener that 127.0.0.1 reaches, as the system tells (sock_diag(7)): so a
/// local service can be watched without connecting to it.
public struct ListeningPorts: Sendable {
    private static let capacity = 65_536
    private let ports: Set<UInt16>

    /// Asks the system; where it does not tell, nothing is contained.
    public init() {
        ports = withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.capacity) { buffer in
            let count = clinux_listening_ports(buffer.baseAddress, Int32(Self.capacity))
            return Set(buffer.prefix(max(0, Int(count))))
        }
    }

    /// Whether something listens on 127.0.0.1:`port`.
    public func contains(_ port: UInt16) -> Bool { ports.contains(port) }
}
