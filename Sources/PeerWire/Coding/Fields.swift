/// The payload of a frame: fields one after the other, each a tag, a length and a value.
///
/// ```
/// tag (1) | length (2) | value
/// ```
/// A reader skips tags that it does not know, so that later versions can add some; of a repeated tag the last counts.
struct FieldWriter {
    private var writer = ByteWriter()
    var bytes: [UInt8] { writer.bytes }

    mutating func put(_ tag: UInt8, _ value: [UInt8]) {
        writer.write(tag)
        writer.write(UInt16(value.count))
        writer.write(value)
    }

    mutating func put<Number: FixedWidthInteger & UnsignedInteger>(_ tag: UInt8, _ number: Number) {
        var value = ByteWriter()
        value.write(number)
        put(tag, value.bytes)
    }

    /// Text is cut at `FieldReader.maximumText` bytes, at a character's boundary; what does not show is left out, for
    /// the other end would refuse it or leave it out.
    mutating func put(_ tag: UInt8, _ text: String) {
        var text = PlainText.cleaned(text)
        while text.utf8.count > FieldReader.maximumText { text.removeLast() }
        put(tag, Array(text.utf8))
    }
}

struct FieldReader {
    static let maximumText = 512
    private var values: [UInt8: ArraySlice<UInt8>] = [:]

    init(_ payload: [UInt8]) throws(WireError) {
        var reader = ByteReader(payload)
        while !reader.isAtEnd {
            guard let tag = reader.read(UInt8.self), let length = reader.read(UInt16.self),
                let value = reader.read(count: Int(length))
            else { throw WireError(.malformedField, "a field runs past the end of its frame") }
            values[tag] = value
        }
    }

    func has(_ tag: UInt8) -> Bool { values[tag] != nil }

    func bytes(_ tag: UInt8, count: Int) throws(WireError) -> [UInt8] {
        guard let value = values[tag] else { throw WireError(.missingField, "field \(tag) is missing") }
        guard value.count == count else {
            throw WireError(.malformedField, "field \(tag) has \(value.count) bytes instead of \(count)")
        }
        return Array(value)
    }

    /// Bytes of any number up to `limit`.
    func bytes(_ tag: UInt8, upTo limit: Int) throws(WireError) -> [UInt8] {
        guard let value = values[tag] else { throw WireError(.missingField, "field \(tag) is missing") }
        guard value.count <= limit else {
            throw WireError(.malformedField, "field \(tag) has \(value.count) bytes, more than \(limit)")
        }
        return Array(value)
    }

    func number<Number: FixedWidthInteger & UnsignedInteger>(_ tag: UInt8, _: Number.Type) throws(WireError) -> Number {
        try bytes(tag, count: Number.bitWidth / 8).reduce(0) { $0 << 8 | Number($1) }
    }

    /// A text that may be left out; then it is empty. Control characters are refused; what else does not show
    /// (`PlainText`) is left out, for it may well be in an honest name, such as the joiners of an emoji.
    func text(_ tag: UInt8) throws(WireError) -> String {
        guard let value = values[tag] else { return "" }
        guard value.count <= Self.maximumText, let text = String(validating: value, as: UTF8.self),
            !text.unicodeScalars.contains(where: PlainText.isControl)
        else { throw WireError(.malformedField, "field \(tag) is no text of at most \(Self.maximumText) bytes") }
        return PlainText.cleaned(text)
    }

    /// A name or an address that somebody will be told to dial.
    func host(_ tag: UInt8) throws(WireError) -> String {
        let text = try text(tag)
        guard HostText.isHost(text) else { throw WireError(.malformedField, "field \(tag) is no host") }
        return text
    }

    /// A list that may be left out; then it is empty.
    func networks(_ tag: UInt8, atMost limit: Int) throws(WireError) -> [Network] {
        guard let value = values[tag] else { return [] }
        guard let networks = Network.list(value), networks.count <= limit else {
            throw WireError(.malformedField, "field \(tag) is no list of at most \(limit) networks")
        }
        return networks
    }

    func nodeKey(_ tag: UInt8) throws(WireError) -> NodeKey {
        guard let key = NodeKey(bytes: try bytes(tag, count: NodeKey.byteCount)) else {
            throw WireError(.malformedField, "field \(tag) is no node key")
        }
        return key
    }

    func keyHistory(_ tag: UInt8) throws(WireError) -> KeyHistory {
        guard let history = KeyHistory(bytes: try bytes(tag, upTo: KeyHistory.maximumByteCount)) else {
            throw WireError(.malformedField, "field \(tag) ends within a change of key")
        }
        return history
    }

    func mapping(_ tag: UInt8) throws(WireError) -> MappingID { MappingID(value: try number(tag, UInt64.self)) }

    /// The terms of a receipt, as the text that is signed.
    func receiptTerms(_ tag: UInt8) throws(WireError) -> Receipt.Terms {
        guard let value = values[tag] else { throw WireError(.missingField, "field \(tag) is missing") }
        do {
            return try Receipt.Terms(Array(value))
        } catch { throw WireError(.malformedField, "field \(tag) has no terms of a receipt: \(error)") }
    }

    /// The states of a mapping's ports, which may be left out.
    func portStates(_ tag: UInt8) throws(WireError) -> PortStates? {
        guard let value = values[tag] else { return nil }
        guard let states = PortStates(bytes: Array(value)) else {
            throw WireError(.malformedField, "field \(tag) is no list of ports' states")
        }
        return states
    }

    /// The value with this number, of an enumeration.
    func known<Value>(_ make: (UInt8) -> Value?, _ tag: UInt8) throws(WireError) -> Value {
        let number = try number(tag, UInt8.self)
        guard let value = make(number) else {
            throw WireError(.malformedField, "field \(tag) has the unknown value \(number)")
        }
        return value
    }

    /// Two numbers of two bytes each: the first port, and how many.
    func ports(_ tag: UInt8) throws(WireError) -> PortRange {
        let packed = try number(tag, UInt32.self)
        guard let range = PortRange(first: UInt16(packed >> 16), count: Int(packed & 0xffff)) else {
            throw WireError(.malformedField, "field \(tag) is no range of ports")
        }
        return range
    }
}

extension FieldWriter {
    mutating func put(_ tag: UInt8, _ range: PortRange) {
        put(tag, UInt32(range.first) << 16 | UInt32(range.count))
    }
}
