public import PeerWire

/// What a node dials on others' word: public addresses, and networks that it is itself attached to; never itself, never
/// loopback, never a group. So nobody reaches through it what they could not reach from outside.
public enum DialPolicy {
    /// An address of this machine with the length of its network's prefix.
    public struct Attachment: Hashable, Sendable {
        public var address: [UInt8]
        public var prefixLength: Int

        public init(address: [UInt8], prefixLength: Int) {
            self.address = address
            self.prefixLength = prefixLength
        }
    }

    /// What a dial is for; that says which ports can be meant.
    public enum Purpose: Hashable, Sendable {
        /// Another node's server port: not one of other services, but that of HTTPS, which gets through most firewalls.
        case node
        /// A port that a relay has opened for a peer.
        case publicPort
    }

    /// The lowest port that is dialled on others' word, but for `httpsPort`: what is below belongs to other services.
    public static let lowestPort: UInt16 = 1_024
    private static let httpsPort: UInt16 = 443

    public static func allows(port: UInt16, for purpose: Purpose) -> Bool {
        port >= lowestPort || (purpose == .node && port == httpsPort)
    }

    /// - Parameter widened: what the configuration allows besides (`[mesh] dial`). Where that covers an address of this
    ///   machine by the way, it is not meant; loopback is, for it has no other use.
    public static func allows(
        _ host: HostAddress, attachedTo networks: [Attachment], widened: [Network]
    ) -> Bool {
        let address = host.bytes
        let covering = widened.filter { $0.contains(host) }
        guard !covering.isEmpty else { return allows(address, attachedTo: networks) }
        if isNeverDialled(address) { return isLoopback(address) }
        return !isOwn(address, networks) || covering.contains { $0.prefixLength == host.width }
    }

    /// `address` has 4 or 16 bytes.
    public static func allows(_ address: [UInt8], attachedTo networks: [Attachment]) -> Bool {
        guard !isNeverDialled(address), !isOwn(address, networks) else { return false }
        if isPublic(address) { return true }
        return networks.contains { network in
            !isNeverDialled(network.address) && network.address.count == address.count
                && network.prefixLength > 0 && shares(address, network.address, bits: network.prefixLength)
        }
    }

    private static func isLoopback(_ address: [UInt8]) -> Bool {
        address.count == 4 ? address[0] == 127 : address.dropLast().allSatisfy { $0 == 0 } && address.last == 1
    }

    private static func isOwn(_ address: [UInt8], _ networks: [Attachment]) -> Bool {
        networks.contains { $0.address == address }
    }

    /// The address of this machine that others most likely reach it by: a public one before a private one, IPv4 before
    /// IPv6. `nil` when it has none but its own.
    public static func likeliestOwnAddress(_ networks: [Attachment]) -> [UInt8]? {
        let addresses = networks.map(\.address).filter { !isNeverDialled($0) && !isLinkLocal($0) }
        return addresses.first { isPublic($0) && $0.count == 4 } ?? addresses.first { isPublic($0) }
            ?? addresses.first { $0.count == 4 } ?? addresses.first
    }

    private static func isLinkLocal(_ address: [UInt8]) -> Bool {
        address.count == 4 ? address[0] == 169 && address[1] == 254 : address[0] == 0xfe && address[1] & 0xc0 == 0x80
    }

    /// Whoever says so: this host itself, loopback, groups, and what is no address.
    public static func isNeverDialled(_ address: [UInt8]) -> Bool {
        if address.count == 4 {
            // This host, loopback, groups and reserved (RFC 6890).
            return address[0] == 0 || address[0] == 127 || address[0] >= 224
        }
        guard address.count == 16 else { return true }
        let isUnspecifiedOrLoopback = address.dropLast().allSatisfy { $0 == 0 } && address[15] <= 1
        let isMapped = address.prefix(10).allSatisfy { $0 == 0 } && address[10] == 0xff && address[11] == 0xff
        return isUnspecifiedOrLoopback || isMapped || address[0] == 0xff
    }

    /// Whether everybody can mean the same host by it, as far as the address shows.
    public static func isPublic(_ address: [UInt8]) -> Bool {
        if address.count == 16 { return address[0] & 0xe0 == 0x20 && !(address[0] == 0x20 && address[1] == 0x02) }
        guard address.count == 4 else { return false }
        switch (address[0], address[1], address[2]) {
        case (0, _, _), (10, _, _), (127, _, _), (172, 16...31, _), (192, 168, _), (169, 254, _), (100, 64...127, _),
            (192, 0, 0), (192, 0, 2), (198, 18...19, _), (198, 51, 100), (203, 0, 113), (224..., _, _):
            return false
        default: return true
        }
    }

    /// Whether it means another host in each network (RFC 1918, 3927, 4193, 6598), so that it is nothing to hand on.
    public static func isPrivate(_ address: [UInt8]) -> Bool {
        guard address.count == 4 else {
            return address.count == 16 && (address[0] & 0xfe == 0xfc || isLinkLocal(address))
        }
        switch (address[0], address[1]) {
        case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127): return true
        default: return false
        }
    }

    private static func shares(_ left: [UInt8], _ right: [UInt8], bits: Int) -> Bool {
        for index in 0..<left.count {
            let covered = max(0, min(8, bits - index * 8))
            let mask = UInt8(truncatingIfNeeded: 0xff00 >> covered)
            if left[index] & mask != right[index] & mask { return false }
        }
        return true
    }
}
