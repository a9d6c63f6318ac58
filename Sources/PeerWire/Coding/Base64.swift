/// Base64 (RFC 4648) that has exactly one spelling for each content: what would decode to the same bytes in another
/// spelling (missing or extra padding, bits set behind the last byte, white space) is refused. So a signature cannot
/// be respelled and still be taken for the same.
public enum Base64 {
    public enum Form: Sendable {
        /// RFC 4648, section 4: `+` and `/`, padded with `=`.
        case standard
        /// RFC 4648, section 5, as JSON Web Tokens use it: `-` and `_`, without padding.
        case url
    }

    public static func encode(_ bytes: [UInt8], _ form: Form = .standard) -> String {
        let letters = letters(form)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for place in 0...group.count {
                text.append(letters[Int(bits >> UInt32(18 - 6 * place)) & 63])
            }
            if form == .standard { text += [UInt8](repeating: padding, count: 3 - group.count) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// `nil` for anything that `encode` would not have written.
    public static func decode(_ text: some StringProtocol, _ form: Form = .standard) -> [UInt8]? {
        let digits = text.utf8.prefix { $0 != padding }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 4 * 3 + 2)
        var bits: UInt32 = 0
        var count = 0
        for digit in digits {
            guard let value = value(of: digit, form) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return encode(bytes, form).utf8.elementsEqual(text.utf8) ? bytes : nil
    }

    private static let padding = UInt8(ascii: "=")

    private static func letters(_ form: Form) -> [UInt8] {
        let common = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return Array((common + (form == .standard ? "+/" : "-_")).utf8)
    }

    private static func value(of digit: UInt8, _ form: Form) -> UInt8? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+") where form == .standard, UInt8(ascii: "-") where form == .url: 62
        case UInt8(ascii: "/") where form == .standard, UInt8(ascii: "_") where form == .url: 63
        default: nil
        }
    }
}
