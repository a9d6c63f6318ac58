/// Hosts, and hosts with ports, as texts: one rule for what a user types, the wire carries and the registries keep.
public enum HostText {
    /// Bytes; a DNS name has at most that.
    public static let longest = 253
    /// What a mapping's target is called that leads to the node itself.
    public static let serverPort = "server port"

    /// A name or a numeric address, IPv6 without brackets (a zone may follow it), no port. Of a name only what could do
    /// harm is refused: blanks, brackets, slashes, colons, and all that is not ASCII.
    public static func isHost(_ text: some StringProtocol) -> Bool {
        let allowed = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"/[]".utf8.contains($0) }
        guard allowed, (1...longest).contains(text.utf8.count) else { return false }
        guard text.utf8.contains(UInt8(ascii: ":")) else { return true }
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        return HostAddress(String(parts[0])) != nil
            && (parts.count == 1 || !parts[1].isEmpty && !parts[1].utf8.contains(UInt8(ascii: ":")))
    }

    /// Host and port, IPv6 in brackets: `192.0.2.7:80`, `[2001:db8::1]:80`. `nil` for anything else; the port is in
    /// digits, from 1 on.
    public static func parts(_ text: String) -> (host: String, port: UInt16)? {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let digits = text[text.utf8.index(after: colon)...]
        // `UInt16` would take a sign too.
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits), port > 0 else {
            return nil
        }
        let before = text[..<colon]
        if before.hasPrefix("["), before.hasSuffix("]") {
            let host = before.dropFirst().dropLast()
            return host.utf8.contains(UInt8(ascii: ":")) && isHost(host) ? (String(host), port) : nil
        }
        return !before.utf8.contains(UInt8(ascii: ":")) && isHost(before) ? (String(before), port) : nil
    }

    /// Where a mapping of `count` ports leads, as a peer says it: `serverPort`, or a host and the first of its ports.
    public static func isTarget(_ text: String, count: Int) -> Bool {
        if text == serverPort { return true }
        guard let (_, port) = parts(text) else { return false }
        return Int(port) + count - 1 <= 65_535
    }
}
