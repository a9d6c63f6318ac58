import PeerWire

/// Writes JSON with the keys in the order in which the values encode them, which the usual encoder cannot. For small
/// documents that people and tools read: indented by two, one newline at the end.
public enum OrderedJSON {
    public static func encode(_ value: some Encodable) throws -> [UInt8] {
        let slot = Slot()
        try value.encode(to: SlotEncoder(slot: slot, codingPath: []))
        var text = ""
        write(slot, indent: "", to: &text)
        return Array("\(text)\n".utf8)
    }

    /// A value that is being put together; a reference, because containers are filled after they were handed out.
    final class Slot {
        enum Content {
            /// Finished text: a number, a quoted string, `true`, `null`.
            case scalar(String)
            case array([Slot])
            case object([(key: String, value: Slot)])
        }

        var content = Content.scalar("null")

        func append() -> Slot {
            let slot = Slot()
            if case .array(var elements) = content {
                // Given away first, or each of ten thousand rows would copy those before it.
                content = .scalar("null")
                elements.append(slot)
                content = .array(elements)
            }
            return slot
        }

        func append(key: String) -> Slot {
            let slot = Slot()
            if case .object(var members) = content {
                content = .scalar("null")
                members.append((key, slot))
                content = .object(members)
            }
            return slot
        }
    }

    private static func write(_ slot: Slot, indent: String, to text: inout String) {
        let inner = indent + "  "
        switch slot.content {
        case .scalar(let scalar):
            text += scalar
        case .array(let elements):
            text += elements.isEmpty ? "[" : "[\n"
            for (index, element) in elements.enumerated() {
                text += inner
                write(element, indent: inner, to: &text)
                text += index == elements.count - 1 ? "\n\(indent)" : ",\n"
            }
            text += "]"
        case .object(let members):
            text += members.isEmpty ? "{" : "{\n"
            for (index, member) in members.enumerated() {
                text += "\(inner)\(quoted(member.key)): "
                write(member.value, indent: inner, to: &text)
                text += index == members.count - 1 ? "\n\(indent)" : ",\n"
            }
            text += "}"
        }
    }

    /// RFC 8259, section 7: quotes and backslashes are escaped, and everything that does not show on a terminal; all
    /// else stays UTF-8.
    static func quoted(_ string: String) -> String {
        let isPlain = string.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }
        if isPlain { return "\"\(string)\"" }
        var text = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where PlainText.isUnseen(scalar):
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
