/// Words of TOML that are no texts: whole numbers, and what only looks like one.
enum TOMLNumber {
    /// `nil` when it is no whole number; a fault when it is one that is too large.
    static func read(_ word: String, line: Int) throws(ConfigFault) -> Int? {
        var digits = word[...]
        var radix = 10
        for (prefix, other) in [("0x", 16), ("0o", 8), ("0b", 2)] where word.hasPrefix(prefix) {
            radix = other
            digits = word.dropFirst(2)
        }
        let isNegative = digits.hasPrefix("-") && radix == 10
        if radix == 10, digits.hasPrefix("-") || digits.hasPrefix("+") { digits = digits.dropFirst() }
        // An underscore stands between two digits, and a decimal number has no zero in front.
        let groups = digits.split(separator: "_", omittingEmptySubsequences: false)
        let plain = groups.joined()
        guard !groups.contains(where: \.isEmpty), plain.utf8.allSatisfy({ isDigit($0, radix) }),
            radix != 10 || plain == "0" || !plain.hasPrefix("0")
        else { return nil }
        guard let number = Int((isNegative ? "-" : "") + plain, radix: radix) else {
            throw ConfigFault(line: line, text: "\(word) is too large a number")
        }
        return number
    }

    static func isHexDigit(_ byte: UInt8) -> Bool { isDigit(byte, 16) }

    private static func isDigit(_ byte: UInt8, _ radix: Int) -> Bool {
        let value: Int
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = Int(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): value = Int(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): value = Int(byte - UInt8(ascii: "A")) + 10
        default: return false
        }
        return value < radix
    }

    /// `2026-11-21…` or `07:32:00`; which of them are real is not looked at.
    static func isDate(_ word: String) -> Bool {
        let bytes = Array(word.utf8)
        func hasDigits(_ count: Int, then mark: Character) -> Bool {
            bytes.count > count && bytes[..<count].allSatisfy { isDigit($0, 10) } && mark.asciiValue == bytes[count]
        }
        return hasDigits(4, then: "-") || hasDigits(2, then: ":")
    }

    static func isFraction(_ word: String) -> Bool {
        let bare = word.hasPrefix("+") || word.hasPrefix("-") ? word.dropFirst() : word[...]
        if bare == "inf" || bare == "nan" { return true }
        return bare.utf8.first.map { isDigit($0, 10) } == true && bare.contains { $0 == "." || $0 == "e" || $0 == "E" }
            && Double(word.filter { $0 != "_" }) != nil
    }
}
