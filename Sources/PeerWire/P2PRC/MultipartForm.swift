/// A form as programs post it (RFC 7578), as far as P2PRC needs it: one part is looked for, by its name. The whole body
/// is there already, so its length is bounded by whoever read it.
public enum MultipartForm {
    /// Parts that are looked at, at most.
    static let maximumParts = 16
    /// Bytes of a boundary (RFC 2046, section 5.1.1) and of the head of a part.
    static let longestBoundary = 70
    static let longestHead = 4_096

    /// The bytes of the first part with this name; `nil` where there is none, or the body is no such form.
    ///
    /// - Parameter contentType: the header field of the request; it says what is between two parts.
    public static func part(named name: String, in body: [UInt8], contentType: String) -> ArraySlice<UInt8>? {
        guard let boundary = boundary(in: contentType) else { return nil }
        let delimiter = Array("--\(boundary)".utf8)
        let divider = Array("\r\n".utf8) + delimiter
        var rest: ArraySlice<UInt8>
        if body.starts(with: delimiter) {
            rest = body[delimiter.count...]
        } else {
            // Something in front of the first part is passed over.
            guard let start = firstRange(of: divider, in: body[...]) else { return nil }
            rest = body[start.upperBound...]
        }
        for _ in 0..<maximumParts {
            // `--` instead: the form ends.
            guard rest.starts(with: Array("\r\n".utf8)),
                let head = firstRange(of: Array("\r\n\r\n".utf8), in: rest.prefix(longestHead)),
                let end = firstRange(of: divider, in: rest[head.lowerBound...].dropFirst(2))
            else { return nil }
            let content = head.upperBound <= end.lowerBound ? rest[head.upperBound..<end.lowerBound] : []
            if isNamed(name, String(decoding: rest[..<head.lowerBound], as: UTF8.self)) { return content }
            rest = rest[end.upperBound...]
        }
        return nil
    }

    private static func boundary(in contentType: String) -> String? {
        guard contentType.utf8.count <= 256, contentType.lowercased().hasPrefix("multipart/form-data"),
            let boundary = parameter("boundary", in: contentType.dropFirst("multipart/form-data".count))
        else { return nil }
        let isBoundary =
            (1...longestBoundary).contains(boundary.utf8.count)
            && boundary.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f }
        return isBoundary ? boundary : nil
    }

    private static func isNamed(_ name: String, _ head: String) -> Bool {
        head.split(separator: "\r\n").contains { line in
            let field = "content-disposition:"
            guard line.lowercased().hasPrefix(field) else { return false }
            return parameter("name", in: line.dropFirst(field.count)) == name
        }
    }

    /// `; name=value` or `; name="value"`.
    private static func parameter(_ name: String, in text: Substring) -> String? {
        for part in text.split(separator: ";").dropFirst(text.first == ";" ? 0 : 1) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, trimmed(pair[0]).lowercased() == name else { continue }
            let value = trimmed(pair[1])
            let isQuoted = value.utf8.count >= 2 && value.hasPrefix("\"") && value.hasSuffix("\"")
            return String(isQuoted ? value.dropFirst().dropLast() : value)
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }

    private static func firstRange(of pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Range<Int>? {
        guard let first = pattern.first else { return nil }
        var at = bytes.startIndex
        while let place = bytes[at...].firstIndex(of: first), place + pattern.count <= bytes.endIndex {
            if bytes[place..<(place + pattern.count)].elementsEqual(pattern) { return place..<(place + pattern.count) }
            at = place + 1
        }
        return nil
    }
}
