extension ProxyPreface {
    /// What the beginning of a stream says so far.
    public enum Reading: Equatable, Sendable {
        /// Could still become a preface.
        case incomplete
        /// Is one, of so many bytes; what comes after them is forwarded.
        case preface(ProxyPreface, byteCount: Int)
        /// Is none that is taken here, whatever follows.
        case refused(Refusal)
    }

    /// Why a preface is not taken.
    public enum Refusal: Hashable, Sendable, CustomStringConvertible {
        /// The first bytes are no preface of version 2.
        case noSignature
        /// Neither LOCAL nor PROXY of version 2.
        case unknownCommand(UInt8)
        /// Not TCP over IPv4 or IPv6.
        case unknownFamily(UInt8)
        /// Announces more than `maximumByteCount` in all.
        case tooLong(Int)
        /// Announces less than its addresses take.
        case tooShort(Int)
        /// A field runs past the end.
        case malformedField
        /// Two node keys, or one that is not 32 bytes long.
        case malformedNodeKey

        public var description: String {
            switch self {
            case .noSignature: "it does not begin with the signature of PROXY protocol version 2"
            case .unknownCommand(let byte): "version and command are 0x\(Hex.encode([byte])), known are 0x20 and 0x21"
            case .unknownFamily(let byte): "the family is 0x\(Hex.encode([byte])), known are 0x11 and 0x21"
            case .tooLong(let count): "it is \(count) bytes long, at most \(maximumByteCount) are taken"
            case .tooShort(let count): "it is \(count) bytes long, less than its addresses take"
            case .malformedField: "one of its fields runs past its end"
            case .malformedNodeKey: "it has more than one node key, or one that is not \(NodeKey.byteCount) bytes long"
            }
        }
    }

    /// Judges as early as it can: a wrong first byte is enough, and a length that is too great is not waited for.
    public static func read(_ bytes: some Collection<UInt8>) -> Reading {
        for (expected, actual) in zip(signature, bytes) where expected != actual { return .refused(.noSignature) }
        var head = ByteReader(Array(bytes.dropFirst(signature.count).prefix(headByteCount - signature.count)))
        guard let commandByte = head.read(UInt8.self) else { return .incomplete }
        guard let command = Command(rawValue: commandByte) else { return .refused(.unknownCommand(commandByte)) }
        guard let familyByte = head.read(UInt8.self) else { return .incomplete }
        let family = Family(rawValue: familyByte)
        if command == .proxy, family == nil { return .refused(.unknownFamily(familyByte)) }
        guard let length = head.read(UInt16.self).map(Int.init) else { return .incomplete }
        let total = headByteCount + length
        guard total <= maximumByteCount else { return .refused(.tooLong(total)) }
        if command == .proxy, let family, length < family.byteCount { return .refused(.tooShort(total)) }
        let rest = Array(bytes.dropFirst(headByteCount).prefix(length))
        guard rest.count == length else { return .incomplete }
        guard command == .proxy, let family else { return .preface(.local, byteCount: total) }
        switch connection(family, rest) {
        case .success(let connection): return .preface(.proxied(connection), byteCount: total)
        case .failure(let refusal): return .refused(refusal)
        }
    }

    private static func connection(_ family: Family, _ rest: [UInt8]) -> Result<Connection, Refusal> {
        var reader = ByteReader(rest)
        guard let source = reader.read(count: family.hostByteCount),
            let destination = reader.read(count: family.hostByteCount),
            let sourcePort = reader.read(UInt16.self), let destinationPort = reader.read(UInt16.self)
        else { return .failure(.tooShort(headByteCount + rest.count)) }
        var fields: [Field] = []
        while !reader.isAtEnd {
            guard let type = reader.read(UInt8.self), let length = reader.read(UInt16.self),
                let value = reader.read(count: Int(length))
            else { return .failure(.malformedField) }
            fields.append(Field(type: type, value: Array(value)))
        }
        let isIPv6 = family == .tcpOverIPv6
        // The length was judged before, so only the node key can be wrong.
        guard
            let connection = Connection(
                source: VisitorAddress(isIPv6: isIPv6, host: Array(source), port: sourcePort),
                destination: VisitorAddress(isIPv6: isIPv6, host: Array(destination), port: destinationPort),
                fields: fields)
        else { return .failure(.malformedNodeKey) }
        return .success(connection)
    }
}

extension ProxyPreface.Refusal: Error {}
