internal import PeerWire

/// What a text must keep to before a library sees it: a bound on how deep, how many, and how long; headers that begin
/// with a name, and brackets that match. It knows where texts and remarks begin and end, and no more of TOML than that.
///
/// A library in another language is trusted least with what is not as it should be: a slip of a pen in a file must not
/// be the end of the process.
struct TOMLGuard {
    /// Lists and tables in each other, and names with points between them.
    static let deepest = 16
    /// Headers and keys. The library looks through those that it has for each new one.
    static let mostKeys = 1_024
    /// Values in lists, and brackets.
    static let mostEntries = 1 << 16

    private let bytes: [UInt8]
    private var at = 0
    private var line = 1
    private var lineStart = 0
    /// The brackets that are open.
    private var open: [UInt8] = []
    /// Whether only blanks stand before this on the line, outside of brackets: a bracket here begins a header.
    private var beginsStatement = true
    /// Points since a name or a value began.
    private var points = 0
    private var keys = 0
    private var entries = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func check() throws(TOMLFault) {
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\n"): newline()
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): at += 1
            case UInt8(ascii: "#"): while let byte = next, byte != UInt8(ascii: "\n") { at += 1 }
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                if beginsStatement, byte == UInt8(ascii: "[") { try header() } else { try begin(byte) }
            default:
                try other(byte)
            }
        }
    }

    private mutating func other(_ byte: UInt8) throws(TOMLFault) {
        beginsStatement = false
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): skipText(byte)
        case UInt8(ascii: "]"), UInt8(ascii: "}"): try end(byte)
        case UInt8(ascii: "."):
            points += 1
            if points > Self.deepest { throw fault("this is nested too deep") }
            at += 1
        case UInt8(ascii: "="):
            try addKey()
            at += 1
        case UInt8(ascii: ","):
            try addEntry()
            at += 1
        // Texts and remarks may have other characters; a letter or a blank from elsewhere is most often a slip.
        case 0x80..., 0x00..<0x20, 0x7f: throw fault("there is \(shown) outside of quotes")
        default: at += 1
        }
    }

    private mutating func newline() {
        at += 1
        line += 1
        lineStart = at
        if open.isEmpty {
            beginsStatement = true
            points = 0
        }
    }

    // MARK: Brackets

    private mutating func header() throws(TOMLFault) {
        beginsStatement = false
        at += 1
        skipBlanks()
        if next == UInt8(ascii: "[") { at += 1 }
        skipBlanks()
        guard let byte = next, Self.beginsName(byte) else { throw fault("there is \(shown) where a name belongs") }
        try addKey()
    }

    private mutating func begin(_ bracket: UInt8) throws(TOMLFault) {
        beginsStatement = false
        guard open.count < Self.deepest else { throw fault("this is nested too deep") }
        try addEntry()
        open.append(bracket)
        at += 1
    }

    private mutating func end(_ bracket: UInt8) throws(TOMLFault) {
        switch open.last {
        case UInt8(ascii: "[") where bracket == UInt8(ascii: "}"): throw fault("there is '}' in a list; write , or ]")
        case UInt8(ascii: "{") where bracket == UInt8(ascii: "]"):
            throw fault("there is ']' in a table in braces; write , or }")
        default: _ = open.popLast()
        }
        at += 1
    }

    private mutating func addKey() throws(TOMLFault) {
        points = 0
        keys += 1
        if keys > Self.mostKeys { throw fault("more than \(Self.mostKeys) keys are no configuration") }
    }

    private mutating func addEntry() throws(TOMLFault) {
        points = 0
        entries += 1
        if entries > Self.mostEntries { throw fault("more than \(Self.mostEntries) values are no configuration") }
    }

    // MARK: Texts

    /// Goes behind the text that begins here. One without its end leaves the rest to the library, which says so.
    private mutating func skipText(_ quote: UInt8) {
        let isLong = hasThree(quote)
        at += isLong ? 3 : 1
        while let byte = next {
            if byte == UInt8(ascii: "\n") {
                guard isLong else { return }
                newlineInText()
            } else if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                at += 1
                if let escaped = next, escaped != UInt8(ascii: "\n") { at += 1 }
            } else if byte == quote, !isLong {
                at += 1
                return
            } else if byte == quote, hasThree(quote) {
                at += 3
                // Two more may belong to the text.
                for _ in 0..<2 where next == quote { at += 1 }
                return
            } else {
                at += 1
            }
        }
    }

    private mutating func newlineInText() {
        at += 1
        line += 1
        lineStart = at
    }

    private func hasThree(_ quote: UInt8) -> Bool { bytes[at...].prefix(3).elementsEqual([quote, quote, quote]) }

    // MARK: Bytes

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipBlanks() {
        while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { at += 1 }
    }

    private static func beginsName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "\""),
            UInt8(ascii: "'"):
            true
        default: false
        }
    }

    /// What stands here, for people.
    private var shown: String {
        guard let byte = next else { return "the end of the file" }
        if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return "the end of a line" }
        if byte < 0x20 || byte == 0x7f { return "a control character" }
        let rest = String(decoding: bytes[at...].prefix(4), as: UTF8.self)
        return rest.unicodeScalars.first.map { scalar in
            let shown = PlainText.spelled(String(scalar))
            return shown == String(scalar) ? "'\(shown)'" : "\(shown), which does not show,"
        } ?? "something"
    }

    private func fault(_ text: String) -> TOMLFault {
        // Characters, as editors count them.
        let column = String(decoding: bytes[lineStart..<at], as: UTF8.self).unicodeScalars.count + 1
        return TOMLFault(line: line, column: column, text: text)
    }
}
