/// Pieces that the bodies of the mesh are made of.
extension ByteWriter {
    /// family (1), 4 or 6 | address (4 or 16) | port (2)
    mutating func write(_ address: NodeAddress) {
        write(UInt8(address.host.isIPv6 ? 6 : 4))
        write(address.host.bytes)
        write(address.port)
    }

    /// length (1) | UTF-8
    mutating func write(short text: String) {
        write(UInt8(text.utf8.count))
        write(text.utf8)
    }
}

extension ByteReader {
    /// One form for each address: IPv4 that is written as IPv6 is refused.
    mutating func readAddress() -> NodeAddress? {
        guard let family = read(UInt8.self), family == 4 || family == 6, let bytes = read(count: family == 4 ? 4 : 16),
            let host = HostAddress(bytes: bytes), host.isIPv6 == (family == 6), let port = read(UInt16.self)
        else { return nil }
        return NodeAddress(host: host, port: port)
    }

    /// Text of at most `limit` bytes; `nil` with control characters, and without what else does not show.
    mutating func readShortText(atMost limit: Int) -> String? {
        guard let length = read(UInt8.self), Int(length) <= limit, let bytes = read(count: Int(length)),
            let text = String(validating: bytes, as: UTF8.self)
        else { return nil }
        return text.unicodeScalars.contains(where: PlainText.isControl) ? nil : PlainText.cleaned(text)
    }

    mutating func readKey() -> NodeKey? { read(count: NodeKey.byteCount).flatMap { NodeKey(bytes: Array($0)) } }

    mutating func readPorts() -> PortRange? {
        guard let first = read(UInt16.self), let count = read(UInt16.self) else { return nil }
        return PortRange(first: first, count: Int(count))
    }
}
