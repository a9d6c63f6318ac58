internal import CLinux

/// Which TCP ports of this machine have a listener that 127.0.0.1 reaches, as the system tells (sock_diag(7)). So a
/// local service can be watched without a word to it.
public struct ListeningPorts: Sendable {
    private static let capacity = 65_536
    /// `nil`: the system does not tell.
    private let ports: Set<UInt16>?

    /// Asks the system.
    public init() {
        ports = withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.capacity) { buffer in
            let count = clinux_listening_ports(buffer.baseAddress, Int32(Self.capacity))
            return count < 0 ? nil : Set(buffer.prefix(Int(count)))
        }
    }

    /// Whether something is there for 127.0.0.1:`port`, as far as the system tells.
    public func contains(_ port: UInt16) -> Bool { ports?.contains(port) ?? false }
}
