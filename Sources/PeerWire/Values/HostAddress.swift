/// An IP address without a port, in one form: an IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`, RFC 4291,
/// section 2.5.5.2) is the IPv4 address. Without the scope that a link-local address needs to be dialled.
public struct HostAddress: Hashable, Sendable, CustomStringConvertible {
    public let isIPv6: Bool
    /// From the left: an IPv4 address is in the first 32 bits and the rest is 0, so that prefixes of both are alike.
    let bits: UInt128

    /// The first 64 bits: an IPv4 address is in the upper half of them.
    public var leadingBits: UInt64 { UInt64(truncatingIfNeeded: bits >> 64) }

    /// How many bits it has.
    public var width: Int { isIPv6 ? 128 : 32 }

    init(isIPv6: Bool, bits: UInt128) {
        let isMapped = isIPv6 && bits >> 32 == 0xffff
        self.isIPv6 = isIPv6 && !isMapped
        self.bits = isMapped ? bits << 96 : bits
    }

    /// `nil` unless there are 4 or 16 bytes, in network byte order.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let value = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        self.init(isIPv6: bytes.count == 16, bits: bytes.count == 4 ? value << 96 : value)
    }

    public init(_ visitor: VisitorAddress) {
        let value = visitor.host.prefix(visitor.isIPv6 ? 16 : 4).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        self.init(isIPv6: visitor.isIPv6, bits: visitor.isIPv6 ? value : value << 96)
    }

    /// Reads a numeric address without brackets and without a scope; everything that is not one is `nil`, also IPv4
    /// with leading zeros, which others read as octal.
    public init?(_ text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let bits = Self.ipv6(text) else { return nil }
            self.init(isIPv6: true, bits: bits)
        } else {
            guard let bits = Self.ipv4(text[...]) else { return nil }
            self.init(isIPv6: false, bits: UInt128(bits) << 96)
        }
    }

    /// 4 or 16 bytes.
    public var bytes: [UInt8] {
        (0..<(width / 8)).map { UInt8(truncatingIfNeeded: bits >> UInt128(120 - 8 * $0)) }
    }

    /// As RFC 5952 wants it.
    public var description: String {
        isIPv6 ? Self.text(ofIPv6: bits) : bytes.map { "\($0)" }.joined(separator: ".")
    }

    // MARK: Text

    private static func ipv4(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            let isNumber = part.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            guard isNumber, part.utf8.count == 1 || part.utf8.first != UInt8(ascii: "0"), let byte = UInt8(part) else {
                return nil
            }
            bits = bits << 8 | UInt32(byte)
        }
        return bits
    }

    private static func ipv6(_ text: String) -> UInt128? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        // `::` makes one empty part in the middle, two at an end, three alone.
        guard let gap = parts.indices.dropFirst().dropLast().first(where: { parts[$0].isEmpty }) else {
            return groups(parts, isLast: true).flatMap { $0.count == 8 ? joined($0) : nil }
        }
        var before = parts[..<gap]
        var after = parts[(gap + 1)...]
        if before.first?.isEmpty == true { before = before.dropFirst(before.count == 1 ? 1 : 0) }
        if after.last?.isEmpty == true { after = after.dropLast(after.count == 1 ? 1 : 0) }
        guard let left = groups(Array(before), isLast: false), let right = groups(Array(after), isLast: true),
            left.count + right.count <= 7
        else { return nil }
        return joined(left + [UInt16](repeating: 0, count: 8 - left.count - right.count) + right)
    }

    /// Groups of four digits; the last part may be an IPv4 address and is two groups then.
    private static func groups(_ parts: [Substring], isLast: Bool) -> [UInt16]? {
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if isLast, index == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let bits = ipv4(part) else { return nil }
                groups += [UInt16(bits >> 16), UInt16(bits & 0xffff)]
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy(isDigit), let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups
    }

    /// Not `UInt16(_:radix:)` alone, which takes a sign for a digit.
    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }

    private static func joined(_ groups: [UInt16]) -> UInt128 { groups.reduce(0) { $0 << 16 | UInt128($1) } }

    private static func text(ofIPv6 bits: UInt128) -> String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> UInt128(112 - 16 * $0)) }
        // The longest run of zeros, the first of several, and never a single one.
        var longest = 0..<0
        var start = 0
        for index in 0...8 where index == 8 || groups[index] != 0 {
            if index - start > max(longest.count, 1) { longest = start..<index }
            start = index + 1
        }
        func hex(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !longest.isEmpty else { return hex(groups[...]) }
        return hex(groups[..<longest.lowerBound]) + "::" + hex(groups[longest.upperBound...])
    }
}
