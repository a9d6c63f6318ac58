extension OrderedJSON {
    struct SlotEncoder: Encoder {
        let slot: Slot
        let codingPath: [any CodingKey]
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
            if case .object = slot.content {} else { slot.content = .object([]) }
            return KeyedEncodingContainer(Keyed<Key>(slot: slot, codingPath: codingPath))
        }

        func unkeyedContainer() -> any UnkeyedEncodingContainer {
            if case .array = slot.content {} else { slot.content = .array([]) }
            return Unkeyed(slot: slot, codingPath: codingPath)
        }

        func singleValueContainer() -> any SingleValueEncodingContainer { Single(slot: slot, codingPath: codingPath) }
    }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let slot: Slot
        let codingPath: [any CodingKey]

        private func member(_ key: any CodingKey) -> SlotEncoder {
            SlotEncoder(slot: slot.append(key: key.stringValue), codingPath: codingPath + [key])
        }

        mutating func encodeNil(forKey key: Key) { _ = member(key) }

        mutating func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
            try value.encode(to: member(key))
        }

        mutating func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) -> KeyedEncodingContainer<Nested> {
            member(key).container(keyedBy: type)
        }

        mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            member(key).unkeyedContainer()
        }

        mutating func superEncoder() -> any Encoder {
            SlotEncoder(slot: slot.append(key: "super"), codingPath: codingPath)
        }

        mutating func superEncoder(forKey key: Key) -> any Encoder { member(key) }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let slot: Slot
        let codingPath: [any CodingKey]

        var count: Int {
            if case .array(let elements) = slot.content { elements.count } else { 0 }
        }

        private func element() -> SlotEncoder { SlotEncoder(slot: slot.append(), codingPath: codingPath) }

        mutating func encodeNil() { _ = element() }

        mutating func encode<Value: Encodable>(_ value: Value) throws { try value.encode(to: element()) }

        mutating func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type
        ) -> KeyedEncodingContainer<Nested> {
            element().container(keyedBy: type)
        }

        mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { element().unkeyedContainer() }

        mutating func superEncoder() -> any Encoder { element() }
    }

    private struct Single: SingleValueEncodingContainer {
        let slot: Slot
        let codingPath: [any CodingKey]

        mutating func encodeNil() { slot.content = .scalar("null") }

        /// All the basic types arrive here in the end; anything else encodes itself into the same place.
        mutating func encode<Value: Encodable>(_ value: Value) throws {
            switch value {
            case let value as String: slot.content = .scalar(OrderedJSON.quoted(value))
            case let value as Bool: slot.content = .scalar(value ? "true" : "false")
            case let value as Double: slot.content = .scalar(try number(value))
            case let value as Float: slot.content = .scalar(try number(Double(value)))
            case let value as any FixedWidthInteger: slot.content = .scalar("\(value)")
            default: try value.encode(to: SlotEncoder(slot: slot, codingPath: codingPath))
            }
        }

        /// The shortest digits that read back as the same number; a whole one without a fraction.
        private func number(_ value: Double) throws -> String {
            guard value.isFinite else {
                throw EncodingError.invalidValue(
                    value, .init(codingPath: codingPath, debugDescription: "JSON has no such number"))
            }
            let text = "\(value)"
            return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
        }
    }
}
