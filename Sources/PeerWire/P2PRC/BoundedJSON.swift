/// A reader of JSON (RFC 8259) for texts of strangers: everything is bounded before it is built, and no text makes it
/// slow or deep. Numbers stay as they are written; bytes that are no UTF-8 become U+FFFD, as in Go.
struct BoundedJSON {
    indirect enum Value: Equatable {
        case null
        case flag(Bool)
        case number(String)
        case text(String)
        case list([Value])
        /// In the order of the text; a name may stand there more than once.
        case object([Member])
    }

    struct Member: Equatable {
        var name: String
        var value: Value
    }

    /// Lists and objects in each other.
    static let deepest = 16
    /// Bytes of a number.
    static let longestNumber = 64

    private let bytes: [UInt8]
    private var at = 0
    private var valuesLeft: Int

    /// - Parameter maximumValues: values of any kind in the whole text.
    static func read(_ bytes: [UInt8], maximumValues: Int) throws(P2PRCFault) -> Value {
        var reader = BoundedJSON(bytes, maximumValues)
        // Some editors put a byte order mark in front.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { reader.at = 3 }
        let value = try reader.value(depth: 0)
        reader.skipBlanks()
        guard reader.at == bytes.count else { throw reader.fault("there is something after the end") }
        return value
    }

    private init(_ bytes: [UInt8], _ maximumValues: Int) {
        self.bytes = bytes
        valuesLeft = maximumValues
    }

    private mutating func value(depth: Int) throws(P2PRCFault) -> Value {
        skipBlanks()
        valuesLeft -= 1
        guard valuesLeft >= 0 else { throw fault("there are too many values") }
        switch next {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < Self.deepest else { throw fault("this is nested too deep") }
            return next == UInt8(ascii: "{") ? .object(try object(depth + 1)) : .list(try list(depth + 1))
        case UInt8(ascii: "\""): return .text(try text())
        case .some(let byte) where byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte):
            return .number(try number())
        default: break
        }
        if take("true") { return .flag(true) }
        if take("false") { return .flag(false) }
        if take("null") { return .null }
        throw fault("there is no value where one belongs")
    }

    private mutating func list(_ depth: Int) throws(P2PRCFault) -> [Value] {
        at += 1
        var values: [Value] = []
        skipBlanks()
        if take("]") { return values }
        while true {
            values.append(try value(depth: depth))
            skipBlanks()
            if take("]") { return values }
            guard take(",") else { throw fault("a list goes on with , or ends with ]") }
        }
    }

    private mutating func object(_ depth: Int) throws(P2PRCFault) -> [Member] {
        at += 1
        var members: [Member] = []
        skipBlanks()
        if take("}") { return members }
        while true {
            skipBlanks()
            guard next == UInt8(ascii: "\"") else { throw fault("there is no name where one belongs") }
            let name = try text()
            skipBlanks()
            guard take(":") else { throw fault("a name is followed by :") }
            members.append(Member(name: name, value: try value(depth: depth)))
            skipBlanks()
            if take("}") { return members }
            guard take(",") else { throw fault("an object goes on with , or ends with }") }
        }
    }

    private mutating func number() throws(P2PRCFault) -> String {
        let start = at
        while let byte = next, Self.isOfNumber(byte) { at += 1 }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        guard at - start <= Self.longestNumber, Double(text)?.isFinite == true else {
            at = start
            throw fault("this is no number")
        }
        return text
    }

    private static func isOfNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    private mutating func text() throws(P2PRCFault) -> String {
        let start = at
        at += 1
        var text: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\"") {
            at += 1
            if byte < 0x20 { throw fault("a control character stands in a text") }
            if byte == UInt8(ascii: "\\") { text += try escape() } else { text.append(byte) }
        }
        guard take("\"") else {
            at = start
            throw fault("a text has no end")
        }
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func escape() throws(P2PRCFault) -> [UInt8] {
        let letter = next
        at += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [letter ?? 0]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return Array(String(Character(try scalar())).utf8)
        default: throw fault("a \\ in a text stands before one of \" \\ / b f n r t u")
        }
    }

    /// After `\u`. Half of a pair alone is U+FFFD.
    private mutating func scalar() throws(P2PRCFault) -> Unicode.Scalar {
        let first = try digits()
        guard (0xd800...0xdbff).contains(first) else { return Unicode.Scalar(first) ?? "\u{fffd}" }
        let place = at
        if take("\\u") {
            let second = try digits()
            if (0xdc00...0xdfff).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            {
                return scalar
            }
            at = place
        }
        return "\u{fffd}"
    }

    private mutating func digits() throws(P2PRCFault) -> UInt32 {
        var number: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw fault("\\u needs four digits")
            }
            number = number << 4 | UInt32(digit)
            at += 1
        }
        return number
    }

    // MARK: Bytes

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func take(_ word: StaticString) -> Bool {
        let isThere = word.withUTF8Buffer { bytes[at...].starts(with: $0) }
        if isThere { at += word.utf8CodeUnitCount }
        return isThere
    }

    private mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { at += 1 }
    }

    private func fault(_ text: String) -> P2PRCFault {
        P2PRCFault(line: 1 + bytes.prefix(at).count { $0 == 0x0a }, text: text)
    }
}

/// Why a text is no table of P2PRC.
public struct P2PRCFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// From 1 on; 0 for the text as a whole.
    public var line: Int
    public var text: String

    public var description: String { line > 0 ? "line \(line): \(text)" : text }
}
