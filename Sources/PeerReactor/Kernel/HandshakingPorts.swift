internal import CLinux

/// On which TCP ports of this machine somebody is in the middle of TCP's handshake, as the system tells (sock_diag(7)).
public struct HandshakingPorts: Sendable {
    private static let capacity = 65_536
    private let ports: Set<UInt16>

    /// Asks the system; `nil` where it does not tell, or not of all.
    public init?() {
        let ports = withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.capacity) { buffer -> Set<UInt16>? in
            let count = Int(clinux_handshaking_ports(buffer.baseAddress, Int32(Self.capacity)))
            return (0..<Self.capacity).contains(count) ? Set(buffer.prefix(count)) : nil
        }
        guard let ports else { return nil }
        self.ports = ports
    }

    public func contains(_ port: UInt16) -> Bool { ports.contains(port) }
}
