internal import CLinux
internal import PeerWire

/// Texts by the columns that they take on a terminal, which are neither bytes nor characters.
enum TerminalText {
    /// A cell of a table is cut here.
    static let widestCell = 40

    static func columns(_ text: String) -> Int {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
        return text.reduce(0) { $0 + columns($1) }
    }

    /// What a terminal makes of a character is its base's width, whatever goes on top.
    private static func columns(_ character: Character) -> Int {
        character.unicodeScalars.reduce(0) { max($0, Int(clinux_columns($1.value))) }
    }

    /// As it may stand in a cell: all of it shows, and it holds no two blanks in a row, which stand between columns.
    /// What is wider than `limit` ends with an ellipsis.
    static func cell(_ text: String, limit: Int = widestCell) -> String {
        var text = PlainText.cleaned(text)
        if !text.utf8.allSatisfy({ $0 < 0x80 }) {
            text = String(text.map { $0.isWhitespace ? " " : $0 })
        }
        if text.contains("  ") || text.hasSuffix(" ") || text.hasPrefix(" ") {
            text = text.split(separator: " ").joined(separator: " ")
        }
        guard columns(text) > limit else { return text }
        var cut = ""
        var width = 1
        for character in text {
            width += columns(character)
            guard width <= limit else { break }
            cut.append(character)
        }
        return cut + "\u{2026}"
    }

    /// With blanks behind it up to a width.
    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - columns(text)))
    }
}
