internal import PeerWire

/// Command lines and other texts of the user, as a message may show them.
public enum CommandText {
    /// Words as a shell takes them, to be typed again. A join link is a secret and stands there as `LINK`: whoever
    /// reads an error may be a journal.
    public static func line(_ words: [String]) -> String {
        words.map { word in word.contains(JoinLink.scheme) ? "LINK" : quoted(word) }.joined(separator: " ")
    }

    private static func quoted(_ word: String) -> String {
        let plain = PlainText.cleaned(word)
        guard plain.isEmpty || plain.contains(where: { !isPlain($0) }) else { return plain }
        return "'" + plain.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    private static func isPlain(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "-_./:,@%+=[]".contains(character))
    }

    /// A text without the secrets in it: of a join link nothing but its beginning is left, of a token (RFC 7519)
    /// nothing.
    public static func withoutSecrets(_ text: String) -> String {
        guard text.contains(JoinLink.scheme) || text.contains("eyJ") else { return text }
        var rest = text[...]
        var shown = ""
        while let next = nextSecret(in: rest) {
            shown += rest[..<next.lowerBound] + "…"
            rest = rest[next.upperBound...]
        }
        return shown + rest
    }

    /// What follows the beginning of a link, or a token.
    private static func nextSecret(in text: Substring) -> Range<Substring.Index>? {
        for index in text.indices {
            if text[index...].hasPrefix(JoinLink.scheme) {
                let start = text.index(index, offsetBy: JoinLink.scheme.count)
                let end = text[start...].firstIndex {
                    !($0.isASCII && ($0.isLetter || $0.isNumber || "./:[]-%_".contains($0)))
                }
                // A colon or a stop behind it is the sentence's.
                if end ?? text.endIndex > start { return start..<(end ?? text.endIndex) }
            }
            // The header of a token is an object of JSON, in base64url.
            if text[index...].hasPrefix("eyJ") {
                let end = text[index...].firstIndex {
                    !($0.isASCII && ($0.isLetter || $0.isNumber || ".-_".contains($0)))
                }
                let word = text[index..<(end ?? text.endIndex)]
                if word.contains("."), word.utf8.count > 40 { return index..<word.endIndex }
            }
        }
        return nil
    }
}
