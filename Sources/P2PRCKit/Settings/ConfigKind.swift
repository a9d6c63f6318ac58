internal import PeerCore
internal import PeerTOML
internal import PeerWire

/// A type of value in the configuration: how it is read and written, and what it is for people and for JSON Schema.
struct ConfigKind<Value>: Sendable {
    enum Form: Sendable {
        case single, toggle
        /// A flag for it may be repeated.
        case list
    }

    /// What may be written, for the page about the file.
    let words: String
    /// The keywords of JSON Schema, as they stand in a schema.
    let schema: String
    var form = Form.single
    let read: @Sendable (TOMLValue) throws(ConfigRefusal) -> Value
    /// The value as TOML, which is JSON too; `nil` where there is none.
    let write: @Sendable (Value) -> String?

    var optional: ConfigKind<Value?> {
        ConfigKind<Value?>(words: words, schema: schema, form: .single) { (value) throws(ConfigRefusal) in
            try self.read(value)
        } write: {
            $0.flatMap(self.write)
        }
    }

    /// The same with other words for what may be written.
    func called(_ words: String) -> Self {
        Self(words: words, schema: schema, form: form, read: read, write: write)
    }

    fileprivate static func refuse(_ found: TOMLValue, _ wanted: String) -> ConfigRefusal {
        ConfigRefusal(text: "this is \(found.article); write \(wanted)")
    }
}

struct ConfigRefusal: Error {
    var text: String
}

extension ConfigKind<String> {
    static var text: Self {
        Self(words: "text", schema: #""type": "string", "minLength": 1, "maxLength": 255"#) {
            (found) throws(ConfigRefusal) in
            guard case .text(let text) = found.kind else { throw refuse(found, "a text in quotes") }
            // As everybody else is told a text, so that a name is the same here and there.
            let clean = PlainText.cleaned(text)
            let hasControls = text.unicodeScalars.contains { $0.properties.generalCategory == .control }
            guard !clean.isEmpty, text.utf8.count <= 255, !hasControls else {
                throw ConfigRefusal(text: "write 1 to 255 bytes on one line, or leave the key out")
            }
            return clean
        } write: {
            SettingText.quoted($0)
        }
    }
}

extension ConfigKind<Bool> {
    static var flag: Self {
        Self(words: "true, false", schema: #""type": "boolean""#, form: .toggle) { (found) throws(ConfigRefusal) in
            guard case .flag(let flag) = found.kind else { throw refuse(found, "true or false, without quotes") }
            return flag
        } write: {
            "\($0)"
        }
    }
}

extension ConfigKind<Int> {
    static func number(_ range: ClosedRange<Int>) -> Self {
        let wanted = "a number from \(range.lowerBound) to \(range.upperBound)"
        let isOpen = range.upperBound == Int(Int32.max)
        return Self(
            words: isOpen ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)",
            schema: "\"type\": \"integer\", \"minimum\": \(range.lowerBound), \"maximum\": \(range.upperBound)"
        ) { (found) throws(ConfigRefusal) in
            guard case .number(let number) = found.kind else { throw refuse(found, wanted) }
            guard range.contains(number) else {
                throw ConfigRefusal(text: "\(number) is out of range; write \(wanted)")
            }
            return number
        } write: {
            "\($0)"
        }
    }

    /// One or more of something.
    static var count: Self { number(1...Int(Int32.max)) }

    /// A number, or a text with a unit.
    static func bytes(from least: Int) -> Self {
        let wanted = "bytes from \(least) on as a number, or with a unit such as \"10MB\" or \"10MiB\""
        return Self(
            words: "number, or text with a unit", schema: "\"type\": [\"integer\", \"string\"], \"minimum\": \(least)"
        ) { (found) throws(ConfigRefusal) in
            let bytes: Int?
            switch found.kind {
            case .number(let number): bytes = number
            case .text(let text): bytes = ByteCount.parse(text)
            case .flag, .list, .table, .fraction, .date: throw refuse(found, wanted)
            }
            guard let bytes, bytes >= least else { throw ConfigRefusal(text: "this is no amount; write \(wanted)") }
            return bytes
        } write: {
            SettingText.quoted(ByteCount.text($0))
        }
    }
}

extension ConfigKind<UInt16> {
    static var port: Self {
        let number = ConfigKind<Int>.number(1...65_535)
        return Self(words: number.words, schema: number.schema) { (found) throws(ConfigRefusal) in
            UInt16(truncatingIfNeeded: try number.read(found))
        } write: {
            "\($0)"
        }
    }
}

extension ConfigKind<PublicPorts> {
    static var ports: Self {
        let wanted = "ports from 1 to 65535, such as \"20000-29999\" or \"80, 443, 20000-29999\""
        return Self(
            words: "\"LOW-HIGH\", or several such as \"80, 443, 20000-29999\"", schema: #""type": "string""#
        ) { (found) throws(ConfigRefusal) in
            guard case .text(let text) = found.kind else { throw refuse(found, wanted) }
            guard let ports = PublicPorts(text) else {
                throw ConfigRefusal(text: "\"\(text)\" is no range; write \(wanted)")
            }
            return ports
        } write: {
            SettingText.quoted($0.description)
        }
    }
}

extension ConfigKind<[Network]> {
    static var networks: Self {
        let wanted = "a list of networks, such as [\"203.0.113.0/24\", \"2001:db8::/32\"]"
        return Self(
            words: "list of CIDR", schema: #""type": "array", "items": { "type": "string" }"#, form: .list
        ) { (found) throws(ConfigRefusal) in
            guard case .list(let list) = found.kind else { throw refuse(found, wanted) }
            var networks: [Network] = []
            for entry in list {
                guard case .text(let text) = entry.kind else { throw refuse(entry, wanted) }
                do throws(NetworkFault) {
                    networks.append(try Network(text))
                } catch { throw ConfigRefusal(text: error.description) }
            }
            return networks
        } write: { networks in
            "[" + networks.map { SettingText.quoted($0.description) }.joined(separator: ", ") + "]"
        }
    }
}
