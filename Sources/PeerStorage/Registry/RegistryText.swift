import PeerCore
import PeerWire

/// The texts inside the registries: what is a host, a port, a key.
enum RegistryText {
    /// `host:port` or `[IPv6]:port`, the port from 1 to 65535 without leading zeros.
    static func isHostAndPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":") else { return false }
        let port = text[text.index(after: colon)...]
        guard let number = UInt16(port), number > 0, String(number) == port else { return false }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            return isIPv6(host.dropFirst().dropLast())
        }
        return isName(host)
    }

    /// A name or an IP, IPv6 without brackets, no port.
    static func isHost(_ text: String) -> Bool { isName(text[...]) || isIPv6(text[...]) }

    private static func isName(_ text: Substring) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte > 0x20 && byte != 0x7f && !"[]:/".utf8.contains(byte)
            }
    }

    /// Its letters and at least two colons; whether it is a valid address shows when it is dialled.
    private static func isIPv6(_ text: Substring) -> Bool {
        let address = text.prefix { $0 != "%" }
        let zone = text[address.endIndex...].dropFirst()
        return address.utf8.count(where: { $0 == UInt8(ascii: ":") }) >= 2
            && address.utf8.allSatisfy { "0123456789abcdefABCDEF:.".utf8.contains($0) }
            && (address.endIndex == text.endIndex || isName(zone))
    }

    /// Three decimals at most: the microseconds.
    static func milliseconds(_ span: Instant.Span) -> Double { Double(span.nanoseconds / 1_000) / 1_000 }
}

extension KeyedDecodingContainer {
    func decodeLatency(forKey key: Key) throws -> Instant.Span? {
        guard let milliseconds = try decode(Double?.self, forKey: key) else { return nil }
        // A day; also keeps the multiplication below from overflowing.
        guard (0...86_400_000).contains(milliseconds) else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "a latency is from 0 to 86400000 milliseconds")
        }
        return .microseconds(UInt64((milliseconds * 1_000).rounded()))
    }

    /// Read as any number first: the decoder calls one that does not fit the type a fault of the whole document.
    func decodePortOrNull(forKey key: Key) throws -> UInt16? {
        guard let number = try decode(Double?.self, forKey: key) else { return nil }
        guard let port = UInt16(exactly: number), port > 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "a port is a whole number from 1 to 65535")
        }
        return port
    }

    func decodeCount(forKey key: Key) throws -> Int {
        guard let count = Int(exactly: try decode(Double.self, forKey: key)), count >= 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "a count is a whole number from 0 on")
        }
        return count
    }

    func decodeNodeKey(forKey key: Key) throws -> NodeKey {
        try parse(try decode(String.self, forKey: key), forKey: key, as: "64 hexadecimal digits, lower case") {
            NodeKey($0)
        }
    }

    func decodeNodeKeyOrNull(forKey key: Key) throws -> NodeKey? {
        try decode(String?.self, forKey: key) == nil ? nil : try decodeNodeKey(forKey: key)
    }

    func decodeMapping(forKey key: Key) throws -> MappingID {
        try parse(try decode(String.self, forKey: key), forKey: key, as: "16 hexadecimal digits, lower case") {
            MappingID($0)
        }
    }

    func decodeTimeOrNull(forKey key: Key) throws -> WallTime? {
        try decode(String?.self, forKey: key) == nil ? nil : try decodeTime(forKey: key)
    }

    func decodeTime(forKey key: Key) throws -> WallTime {
        guard let time = WallTime(rfc3339: try decode(String.self, forKey: key)) else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "it is no time such as 2030-01-31T12:00:00Z")
        }
        return time
    }

    /// For keys that are left out when there is nothing to say; `null` is not the same as that, and refused.
    func decodeTextIfContained(forKey key: Key) throws -> String? {
        contains(key) ? try decode(String.self, forKey: key) : nil
    }

    /// CIDRs; none where the key is left out.
    func decodeNetworks(forKey key: Key) throws -> [Network] {
        guard contains(key) else { return [] }
        return try decode([String].self, forKey: key).map { text in
            guard let network = try? Network(text) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: self, debugDescription: "it holds what is no network such as 192.0.2.0/24")
            }
            return network
        }
    }

    /// A version; off where the key is left out, and written in no other way.
    func decodeProxyProtocol(forKey key: Key) throws -> ProxyProtocol {
        guard contains(key) else { return .off }
        return try parse(try decode(String.self, forKey: key), forKey: key, as: "v1 or v2") { text in
            ProxyProtocol(text).flatMap { $0 == .off ? nil : $0 }
        }
    }

    /// Takes only the one spelling that we write ourselves, so that texts can be compared.
    private func parse<Value: CustomStringConvertible>(
        _ text: String, forKey key: Key, as form: String, _ read: (String) -> Value?
    ) throws -> Value {
        guard let value = read(text), value.description == text else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "it is not \(form)")
        }
        return value
    }
}
