import PeerWire

/// A value in a TOML document, with the line on which it begins.
struct TOMLValue {
    enum Kind {
        case text(String)
        case number(Int)
        case flag(Bool)
        case list([TOMLValue])
        case table(TOMLTable)
        /// A number with a point, and a date or time: no key of ours takes one.
        case fraction, date
    }

    var kind: Kind
    var line: Int

    /// What it is called, for people.
    var article: String {
        switch kind {
        case .text: "text in quotes"
        case .number: "a number"
        case .flag: "true or false"
        case .list: "a list"
        case .table: "a table"
        case .fraction: "a number with a point"
        case .date: "a date or time"
        }
    }
}

/// A table while it is read. Each may be opened in one way only (TOML 1.0, "Table").
final class TOMLTable {
    enum Origin: Equatable {
        /// On the way to another one.
        case implied
        /// By its own header.
        case header
        /// By a key with points, in the section with this number: below one header, or in one pair of braces.
        case dotted(Int)
        /// In braces: nothing may be added.
        case braces
    }

    fileprivate(set) var entries: [String: TOMLValue] = [:]
    fileprivate var origin: Origin

    fileprivate init(_ origin: Origin) { self.origin = origin }

    /// The table of that name; `nil` when there is none, or something else.
    func table(_ name: String) -> TOMLTable? {
        if case .table(let table)? = entries[name]?.kind { table } else { nil }
    }
}

/// Reads TOML 1.0 (https://toml.io/en/v1.0.0) without what a configuration of this program cannot contain: texts over
/// several lines and arrays of tables are refused, and fractions and dates are told apart but not read.
///
/// Our own, because the library at hand (TOMLKit 0.6 on toml++) answers some slips of a pen, such as `[=]`, by an
/// assertion that ends the process, and gives no lines for what it has read.
struct TOMLText {
    private static let deepest = 16

    private let bytes: [UInt8]
    private var at = 0
    private var line = 1
    /// Numbers each header and each pair of braces.
    private var sections = 0
    private var section = 0
    private let root = TOMLTable(.header)

    static func read(_ text: String) throws(ConfigFault) -> TOMLTable {
        var reader = TOMLText(bytes: Array(text.utf8))
        try reader.document()
        return reader.root
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Lines

    private mutating func document() throws(ConfigFault) {
        var current = root
        while next != nil {
            skipBlanks()
            if next == UInt8(ascii: "[") {
                current = try header()
            } else if let byte = next, byte != UInt8(ascii: "#"), byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "\r")
            {
                try pair(into: current)
            }
            try endOfLine()
        }
    }

    private mutating func endOfLine() throws(ConfigFault) {
        skipBlanks()
        try skipRemark()
        guard next != nil else { return }
        if !takeNewline() { throw fault("there is \(shown) after the end; begin a new line") }
    }

    private mutating func header() throws(ConfigFault) -> TOMLTable {
        at += 1
        if next == UInt8(ascii: "[") { throw fault("double brackets mean nothing here; write [name]") }
        skipBlanks()
        let path = try keys()
        guard take(UInt8(ascii: "]")) else { throw fault("the name of a table ends with ]") }
        sections += 1
        section = sections
        var table = root
        for name in path.dropLast() { table = try step(from: table, to: name, .implied) }
        guard let name = path.last else { return table }
        guard let known = table.entries[name] else { return add(TOMLTable(.header), to: table, name) }
        guard case .table(let found) = known.kind, found.origin == .implied else {
            throw fault("\(name) is there already, in line \(known.line)")
        }
        found.origin = .header
        return found
    }

    private mutating func pair(into table: TOMLTable, depth: Int = 0) throws(ConfigFault) {
        let place = line
        let path = try keys()
        guard take(UInt8(ascii: "=")) else {
            if let byte = next, byte >= 0x80 { throw fault("there is \(shown) after \(path.joined(separator: "."))") }
            throw fault("\(path.joined(separator: ".")) has no value; write = after it")
        }
        skipBlanks()
        var target = table
        for name in path.dropLast() { target = try step(from: target, to: name, .dotted(section)) }
        guard let name = path.last else { return }
        if let known = target.entries[name] { throw fault("\(name) is there already, in line \(known.line)") }
        var value = try value(depth: depth)
        value.line = place
        target.entries[name] = value
    }

    private func step(
        from table: TOMLTable, to name: String, _ origin: TOMLTable.Origin
    ) throws(ConfigFault) -> TOMLTable {
        guard let known = table.entries[name] else { return add(TOMLTable(origin), to: table, name) }
        guard case .table(let found) = known.kind, found.origin != .braces,
            // A header goes through every table; a key with points only through those that such keys made.
            origin == .implied || found.origin == origin
        else { throw fault("\(name) is there already, in line \(known.line)") }
        return found
    }

    private func add(_ new: TOMLTable, to table: TOMLTable, _ name: String) -> TOMLTable {
        table.entries[name] = TOMLValue(kind: .table(new), line: line)
        return new
    }

    // MARK: Keys and values

    /// One name, or several with points between them; the blanks after them are taken too.
    private mutating func keys() throws(ConfigFault) -> [String] {
        var path: [String] = []
        repeat {
            skipBlanks()
            switch next {
            case UInt8(ascii: "\""): path.append(try basicText())
            case UInt8(ascii: "'"): path.append(try literalText())
            default:
                let start = at
                while let byte = next, Self.isBare(byte) { at += 1 }
                guard at > start else { throw fault("there is \(shown) where a name belongs") }
                path.append(String(decoding: bytes[start..<at], as: UTF8.self))
            }
            skipBlanks()
        } while take(UInt8(ascii: "."))
        return path
    }

    private mutating func value(depth: Int) throws(ConfigFault) -> TOMLValue {
        let place = line
        let kind: TOMLValue.Kind
        switch next {
        case UInt8(ascii: "\""): kind = .text(try basicText())
        case UInt8(ascii: "'"): kind = .text(try literalText())
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            guard depth < Self.deepest else { throw fault("this is nested too deep") }
            kind = next == UInt8(ascii: "[") ? .list(try list(depth + 1)) : .table(try braces(depth + 1))
        default: kind = try word()
        }
        return TOMLValue(kind: kind, line: place)
    }

    private mutating func list(_ depth: Int) throws(ConfigFault) -> [TOMLValue] {
        at += 1
        var list: [TOMLValue] = []
        while true {
            try skipToEntry()
            if take(UInt8(ascii: "]")) { return list }
            list.append(try value(depth: depth))
            try skipToEntry()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw fault("there is \(shown) in a list; write , or ]") }
            return list
        }
    }

    private mutating func braces(_ depth: Int) throws(ConfigFault) -> TOMLTable {
        at += 1
        let table = TOMLTable(.braces)
        skipBlanks()
        if take(UInt8(ascii: "}")) { return table }
        // Tables that keys with points make in here are closed with the braces.
        let outer = section
        sections += 1
        section = sections
        repeat {
            skipBlanks()
            try pair(into: table, depth: depth)
            skipBlanks()
        } while take(UInt8(ascii: ","))
        section = outer
        guard take(UInt8(ascii: "}")) else { throw fault("there is \(shown) in a table in braces; write , or }") }
        return table
    }

    private mutating func word() throws(ConfigFault) -> TOMLValue.Kind {
        let start = at
        while let byte = next,
            Self.isBare(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".")
                || byte == UInt8(ascii: ":")
        { at += 1 }
        let word = String(decoding: bytes[start..<at], as: UTF8.self)
        switch word {
        case "": throw fault("there is \(shown) where a value belongs")
        case "true": return .flag(true)
        case "false": return .flag(false)
        default: break
        }
        if let number = try TOMLNumber.read(word, line: line) { return .number(number) }
        if TOMLNumber.isDate(word) { return .date }
        if TOMLNumber.isFraction(word) { return .fraction }
        throw fault("\(word) is not a value; put text in quotes")
    }

    // MARK: Texts

    private mutating func literalText() throws(ConfigFault) -> String {
        try refuseLongText(UInt8(ascii: "'"))
        let start = at
        while let byte = next, byte != UInt8(ascii: "'") {
            try checkInText(byte)
            at += 1
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        guard take(UInt8(ascii: "'")) else { throw fault("a text has no ' at its end") }
        return text
    }

    private mutating func basicText() throws(ConfigFault) -> String {
        try refuseLongText(UInt8(ascii: "\""))
        var text: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\"") {
            try checkInText(byte)
            at += 1
            if byte == UInt8(ascii: "\\") { text += try escape() } else { text.append(byte) }
        }
        guard take(UInt8(ascii: "\"")) else { throw fault("a text has no \" at its end") }
        return String(decoding: text, as: UTF8.self)
    }

    /// Takes the first quote.
    private mutating func refuseLongText(_ quote: UInt8) throws(ConfigFault) {
        if bytes[at...].prefix(3).elementsEqual([quote, quote, quote]) { throw fault("write the text on one line") }
        at += 1
    }

    private func checkInText(_ byte: UInt8) throws(ConfigFault) {
        if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
            throw fault("a text ends on the line on which it begins")
        }
        if byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7f { throw fault("there is \(shown) in a text") }
    }

    private mutating func escape() throws(ConfigFault) -> [UInt8] {
        let letter = next
        at += 1
        switch letter {
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return [letter ?? 0]
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let count = letter == UInt8(ascii: "u") ? 4 : 8
            let digits = String(decoding: bytes[min(at, bytes.count)...].prefix(count), as: UTF8.self)
            guard digits.utf8.count == count, digits.utf8.allSatisfy(TOMLNumber.isHexDigit),
                let scalar = UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init)
            else { throw fault("\\\(count == 4 ? "u" : "U") needs \(count) digits of a character") }
            at += count
            return Array(String(Character(scalar)).utf8)
        default: throw fault("a \\ in a text stands before one of b t n f r \" \\ u U; in '…' it is itself")
        }
    }

    // MARK: Bytes

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        at += 1
        return true
    }

    private mutating func skipBlanks() {
        while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { at += 1 }
    }

    private mutating func takeNewline() -> Bool {
        if next == UInt8(ascii: "\r"), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "\n") { at += 1 }
        guard take(UInt8(ascii: "\n")) else { return false }
        line += 1
        return true
    }

    private mutating func skipRemark() throws(ConfigFault) {
        guard next == UInt8(ascii: "#") else { return }
        while let byte = next, byte != UInt8(ascii: "\n") {
            let endsLine = byte == UInt8(ascii: "\r") && at + 1 < bytes.count && bytes[at + 1] == UInt8(ascii: "\n")
            if endsLine { return }
            if byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7f {
                throw fault("there is \(shown) in a remark")
            }
            at += 1
        }
    }

    /// Blanks, remarks and line ends, which may stand anywhere in a list.
    private mutating func skipToEntry() throws(ConfigFault) {
        repeat {
            skipBlanks()
            try skipRemark()
        } while takeNewline()
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
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

    private func fault(_ text: String) -> ConfigFault { ConfigFault(line: line, text: text) }
}
