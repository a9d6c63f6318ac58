/// The one rule for a text of somebody else: names, notes, reasons. Whatever it is, it ends up in listings, logs, files
/// and on terminals, and may neither hide there nor change what stands around it.
public enum PlainText {
    /// Whether a character shows nothing, or acts on what is around it: controls (Cc), formats with the marks that turn
    /// a line around (Cf), separators of lines (Zl, Zp), and whatever else Unicode calls ignorable.
    public static func isUnseen(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x7f { return scalar.value < 0x20 }
        if isControl(scalar) { return true }
        switch scalar.properties.generalCategory {
        case .format, .lineSeparator, .paragraphSeparator, .surrogate: return true
        default: return scalar.properties.isDefaultIgnorableCodePoint
        }
    }

    /// C0, DEL and C1.
    static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    }

    /// Whether there is nothing in it that does not show.
    public static func isClean(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x20..<0x7f).contains($0) } || !text.unicodeScalars.contains(where: isUnseen)
    }

    /// The text without what does not show.
    public static func cleaned(_ text: String) -> String {
        if isClean(text) { return text }
        var clean = text
        clean.unicodeScalars.removeAll(where: isUnseen)
        return clean
    }

    /// What a node calls itself, cut where it says no more: a name may have as many bytes as any text.
    public static func name(_ text: String) -> String {
        guard text.utf8.count > longestName else { return text }
        var name = text.prefix(longestName)
        while name.utf8.count > longestName { name.removeLast() }
        return String(name)
    }

    /// Bytes.
    static let longestName = 128

    /// A piece of somebody's input for a message about it: what does not show, and every blank but the usual one, is
    /// spelled as `U+00A0`.
    public static func spelled(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            let shows = !isUnseen(scalar) && (scalar == " " || !scalar.properties.isWhitespace)
            return shows ? String(scalar) : number(of: scalar)
        }.joined()
    }

    private static func number(of scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
