import Glibc
public import PeerCore

/// The networks that this machine is attached to now (getifaddrs(3)).
public enum AttachedNetworks {
    public static func current() -> [DialPolicy.Attachment] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var networks: [DialPolicy.Attachment] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = bytes(entry.pointee.ifa_addr), let mask = bytes(entry.pointee.ifa_netmask) else {
                continue
            }
            let length = mask.reduce(0) { $0 + $1.nonzeroBitCount }
            networks.append(DialPolicy.Attachment(address: address, prefixLength: length))
        }
        return networks
    }

    /// The address by which others most likely reach this machine, as text.
    public static var likeliestOwnHost: String? {
        guard let bytes = DialPolicy.likeliestOwnAddress(current()) else { return nil }
        let host: SocketAddress.Host = bytes.count == 4 ? .ipv4(bytes) : .ipv6(bytes, scope: 0)
        return SocketAddress(host: host, port: 1).hostText
    }

    private static func bytes(_ address: UnsafeMutablePointer<sockaddr>?) -> [UInt8]? {
        guard let address else { return nil }
        let size: Int
        switch Int32(address.pointee.sa_family) {
        case AF_INET: size = MemoryLayout<sockaddr_in>.size
        case AF_INET6: size = MemoryLayout<sockaddr_in6>.size
        default: return nil
        }
        var storage = sockaddr_storage()
        memcpy(&storage, address, size)
        return SocketAddress(storage)?.hostBytes
    }
}
