internal import CLinux
internal import PeerCore

/// Which services for UDP there are on this machine, as the system tells (sock_diag(7)): sockets that take datagrams of
/// everybody, and this machine's addresses. So a local service can be watched without a word to it.
public struct DatagramServices: Sendable {
    private struct Bound {
        /// IPv4 as `::ffff:a.b.c.d`.
        let address: [UInt8]
        let isIPv6Only: Bool
    }

    private static let capacity = 65_536
    private static let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    private static let anyIPv4 = mapped + [0, 0, 0, 0]
    private static let anyIPv6 = [UInt8](repeating: 0, count: 16)

    /// By their ports; `nil`: the system does not tell.
    private let sockets: [UInt16: [Bound]]?
    /// Of the interfaces, 4 or 16 bytes each.
    private let own: Set<[UInt8]>

    /// Asks the system.
    public init() {
        own = Set(AttachedNetworks.current().map(\.address))
        sockets = withUnsafeTemporaryAllocation(of: clinux_bound.self, capacity: Self.capacity) { buffer in
            let count = clinux_datagram_sockets(buffer.baseAddress, Int32(Self.capacity))
            guard count >= 0 else { return nil }
            var sockets: [UInt16: [Bound]] = [:]
            for var each in buffer.prefix(Int(count)) {
                let address = withUnsafeBytes(of: &each.address) { Array($0) }
                sockets[each.port, default: []].append(Bound(address: address, isIPv6Only: each.is_ipv6_only != 0))
            }
            return sockets
        }
    }

    /// The system tells which sockets there are.
    public var isKnown: Bool { sockets != nil }

    /// Whether an address is one of this machine's, where the table knows every service.
    public func isHere(_ host: SocketAddress.Host) -> Bool {
        let address = SocketAddress(host: host, port: 0)
        return address.isLoopback || address.isUnspecified || own.contains(Self.bare(address.hostBytes))
    }

    /// Whether a socket takes what is sent to this address of this machine. `true` where the system does not tell.
    public func serves(_ address: SocketAddress) -> Bool {
        guard let sockets else { return true }
        // What is sent to no address in particular goes to the loopback one.
        var bytes = address.isUnspecified ? Self.loopback(of: address.host) : Self.bare(address.hostBytes)
        let isIPv4 = bytes.count == 4
        if isIPv4 { bytes = Self.mapped + bytes }
        return sockets[address.port, default: []].contains { socket in
            socket.address == bytes || isIPv4 && socket.address == Self.anyIPv4
                // All addresses of IPv6 are all of IPv4 too, unless the service says otherwise.
                || socket.address == Self.anyIPv6 && !(isIPv4 && socket.isIPv6Only)
        }
    }

    /// 4 bytes where an address of IPv4 is written as one of IPv6.
    private static func bare(_ bytes: [UInt8]) -> [UInt8] {
        bytes.count == 16 && bytes.starts(with: mapped) ? Array(bytes.suffix(4)) : bytes
    }

    private static func loopback(of host: SocketAddress.Host) -> [UInt8] {
        switch host {
        case .ipv4: [127, 0, 0, 1]
        case .ipv6: [UInt8](repeating: 0, count: 15) + [1]
        }
    }
}
