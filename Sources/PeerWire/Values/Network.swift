/// A network as CIDR names it (RFC 4632, RFC 4291): an address and how many of its bits count. The bits after those are
/// always 0.
public struct Network: Hashable, Sendable, CustomStringConvertible {
    /// The first address of it.
    public let address: HostAddress
    /// 0 to 32, or to 128.
    public let prefixLength: Int

    /// The network of an address; the prefix is cut to what the address has.
    public init(of address: HostAddress, prefixLength: Int) {
        let length = max(0, min(address.width, prefixLength))
        // An IPv6 address that is not mapped does not become so by bits that are cleared at its end.
        self.address = HostAddress(isIPv6: address.isIPv6, bits: address.bits & Self.mask(length))
        self.prefixLength = length
    }

    /// Reads `203.0.113.0/24`, `2001:db8::/32`, and an address alone for itself. A network of mapped addresses
    /// (`::ffff:10.0.0.0/104`) is the IPv4 network. Bits after the prefix are an error: whoever wrote them meant
    /// something else.
    public init(_ text: String) throws(NetworkFault) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = HostAddress(String(first)) else { throw .noAddress(text) }
        guard parts.count == 2 else {
            self.init(of: address, prefixLength: address.width)
            return
        }
        let isMapped = !address.isIPv6 && first.utf8.contains(UInt8(ascii: ":"))
        let isNumber = parts[1].utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        guard isNumber, let written = Int(parts[1]), written >= (isMapped ? 96 : 0),
            written <= (isMapped ? 128 : address.width)
        else { throw .noPrefix(text, from: isMapped ? 96 : 0, to: isMapped ? 128 : address.width) }
        self.init(of: address, prefixLength: isMapped ? written - 96 : written)
        guard self.address == address else { throw .bitsAfterPrefix(text, network: self, address: address) }
    }

    public func contains(_ other: HostAddress) -> Bool {
        other.isIPv6 == address.isIPv6 && other.bits & Self.mask(prefixLength) == address.bits
    }

    /// An address alone is written without its prefix.
    public var description: String {
        prefixLength == address.width ? address.description : "\(address)/\(prefixLength)"
    }

    private static func mask(_ length: Int) -> UInt128 { length == 0 ? 0 : .max << UInt128(128 - length) }
}

/// Why a text names no network; `description` says what to write instead.
public enum NetworkFault: Error, Hashable, Sendable, CustomStringConvertible {
    case noAddress(String)
    case noPrefix(String, from: Int, to: Int)
    case bitsAfterPrefix(String, network: Network, address: HostAddress)

    public var description: String {
        switch self {
        case .noAddress(let text):
            "'\(text)' is no network; write an address or CIDR, such as 203.0.113.0/24 or 2001:db8::/32"
        case .noPrefix(let text, let from, let to):
            "'\(text)' has no length of a prefix; write a number from \(from) to \(to) after the slash"
        case .bitsAfterPrefix(let text, let network, let address):
            "'\(text)' has bits after its prefix; write \(network) for the network or \(address) for the address"
        }
    }
}

extension Network: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        do {
            try self.init(container.decode(String.self))
        } catch let fault as NetworkFault {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(fault)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension Network {
    /// A list of networks in one field, each: family (4 or 6), length of the prefix, address (4 or 16).
    static func bytes(of networks: [Network]) -> [UInt8] {
        networks.flatMap { [$0.address.isIPv6 ? 6 : 4, UInt8($0.prefixLength)] + $0.address.bytes }
    }

    /// `nil` unless the bytes are nothing but whole networks, in the one form that each of them has.
    static func list(_ bytes: ArraySlice<UInt8>) -> [Network]? {
        var reader = ByteReader(bytes)
        var networks: [Network] = []
        while !reader.isAtEnd {
            guard let family = reader.read(UInt8.self), family == 4 || family == 6,
                let length = reader.read(UInt8.self), let host = reader.read(count: family == 4 ? 4 : 16),
                let address = HostAddress(bytes: host), address.isIPv6 == (family == 6), Int(length) <= address.width
            else { return nil }
            let network = Network(of: address, prefixLength: Int(length))
            guard network.address == address else { return nil }
            networks.append(network)
        }
        return networks
    }
}
