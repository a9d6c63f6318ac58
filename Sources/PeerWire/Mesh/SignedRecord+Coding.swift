extension SignedRecord {
    private enum Tag {
        static let began: UInt8 = 1
        static let instance: UInt8 = 2
        static let issued: UInt8 = 3
        static let lifetime: UInt8 = 4
        static let roles: UInt8 = 5
        static let name: UInt8 = 6
        static let software: UInt8 = 7
        static let addresses: UInt8 = 8
        static let mappings: UInt8 = 9
        static let witnesses: UInt8 = 10
        static let note: UInt8 = 11
    }

    /// Everything but the signature. What is over a limit is refused here with a reason; the rest by reading it back.
    static func body(of record: NodeRecord) throws(WireError) -> [UInt8] {
        for text in [record.name, record.software] + record.mappings.flatMap({ [$0.name, $0.host] })
        where text.utf8.count > NodeRecord.maximumText {
            throw WireError(.malformedField, "a text of more than \(NodeRecord.maximumText) bytes in a record: \(text)")
        }
        guard NodeRecord.isNote(record.note) else {
            let limit = NodeRecord.maximumNote
            throw WireError(.malformedField, "a note of more than \(limit) bytes, or with control characters")
        }
        var fields = FieldWriter()
        fields.put(Tag.began, record.process.began)
        fields.put(Tag.instance, record.process.instance)
        fields.put(Tag.issued, UInt64(bitPattern: record.issued))
        fields.put(Tag.lifetime, record.lifetime)
        fields.put(Tag.roles, record.roles.rawValue)
        fields.put(Tag.name, record.name)
        fields.put(Tag.software, record.software)
        fields.put(Tag.addresses, written { writer in record.addresses.forEach { writer.write($0) } })
        fields.put(
            Tag.mappings,
            written { writer in
                for mapping in record.mappings {
                    writer.write(mapping.protocols.rawValue)
                    writer.write(mapping.ports.first)
                    writer.write(UInt16(truncatingIfNeeded: mapping.ports.count))
                    writer.write(short: mapping.host)
                    writer.write(short: mapping.name)
                }
            })
        fields.put(Tag.witnesses, written { writer in record.witnesses.forEach { writer.write($0) } })
        if !record.note.isEmpty { fields.put(Tag.note, record.note) }
        var writer = ByteWriter()
        writer.write(format)
        writer.write(record.key.bytes)
        writer.write(record.issue)
        writer.write(fields.bytes)
        return writer.bytes
    }

    private static func written(_ body: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        body(&writer)
        return writer.bytes
    }

    static func record(_ body: ArraySlice<UInt8>) throws(WireError) -> NodeRecord {
        var reader = ByteReader(body)
        guard let format = reader.read(UInt8.self), format == Self.format else {
            throw WireError(.malformedFrame, "a record in a format that is not known here")
        }
        guard let key = reader.readKey(), let issue = reader.read(UInt64.self),
            let rest = reader.read(count: reader.count)
        else { throw WireError(.malformedFrame, "a record that ends in its head") }
        let fields = try FieldReader(Array(rest))
        let lifetime = try fields.number(Tag.lifetime, UInt32.self)
        let issued = Int64(bitPattern: try fields.number(Tag.issued, UInt64.self))
        // Years 1970 to 9999, so that no sum of times runs over.
        guard lifetime <= NodeRecord.longestLifetime, (0...253_402_300_799).contains(issued) else {
            throw WireError(.malformedField, "a record of \(key.short) that lives \(lifetime) s from \(issued) on")
        }
        let note = try text(fields, Tag.note, atMost: NodeRecord.maximumNote)
        return NodeRecord(
            key: key, issue: issue,
            process: .init(
                began: try fields.number(Tag.began, UInt64.self),
                instance: try fields.number(Tag.instance, UInt64.self)), issued: issued, lifetime: lifetime,
            content: .init(
                roles: NodeRecord.Roles(rawValue: try fields.number(Tag.roles, UInt16.self)),
                name: try text(fields, Tag.name), software: try text(fields, Tag.software),
                addresses: try list(fields, Tag.addresses, atMost: NodeRecord.maximumAddresses) { $0.readAddress() },
                mappings: try list(fields, Tag.mappings, atMost: NodeRecord.maximumMappings) { readMapping(&$0) },
                witnesses: try list(fields, Tag.witnesses, atMost: NodeRecord.maximumWitnesses) { $0.readStatement() },
                note: note))
    }

    private static func text(
        _ fields: FieldReader, _ tag: UInt8, atMost limit: Int = NodeRecord.maximumText
    ) throws(WireError) -> String {
        let text = try fields.text(tag)
        guard text.utf8.count <= limit else {
            throw WireError(.malformedField, "field \(tag) of a record is longer than \(limit) bytes")
        }
        return text
    }

    private static func readMapping(_ reader: inout ByteReader) -> NodeRecord.Mapping? {
        guard let protocols = reader.read(UInt8.self), (1...3).contains(protocols), let ports = reader.readPorts(),
            let host = reader.readShortText(atMost: NodeRecord.maximumText), HostText.isHost(host),
            let name = reader.readShortText(atMost: NodeRecord.maximumText)
        else { return nil }
        return NodeRecord.Mapping(
            name: name, protocols: TransportProtocols(rawValue: protocols), host: host, ports: ports)
    }

    private static func list<Element>(
        _ fields: FieldReader, _ tag: UInt8, atMost limit: Int, _ read: (inout ByteReader) -> Element?
    ) throws(WireError) -> [Element] {
        guard fields.has(tag) else { return [] }
        var reader = ByteReader(try fields.bytes(tag, upTo: maximumByteCount))
        var elements: [Element] = []
        while !reader.isAtEnd {
            guard elements.count < limit, let element = read(&reader) else {
                throw WireError(.malformedField, "field \(tag) of a record is no list of at most \(limit)")
            }
            elements.append(element)
        }
        return elements
    }
}
