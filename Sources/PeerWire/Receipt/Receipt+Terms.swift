extension Receipt {
    /// What both sign: all bytes of the file before its first signature line.
    public struct Terms: Hashable, Sendable {
        /// What the relay allows for all that hold the peer's membership together; `nil`: no such limit.
        public struct Limits: Hashable, Sendable {
            public var keys: UInt64?
            public var leases: UInt64?
            public var mappings: UInt64?
            public var connections: UInt64?
            public var connectionsPerSecond: UInt64?
            /// In each direction.
            public var bytesPerSecond: UInt64?

            public init() {}
        }

        /// Who signs.
        public struct Parties: Sendable {
            public var relay: NodeKey
            public var peer: NodeKey

            public init(relay: NodeKey, peer: NodeKey) {
                self.relay = relay
                self.peer = peer
            }
        }

        /// Seconds since 1970, by the relay's clock.
        public struct Period: Sendable {
            public var issued: Int64
            public var expires: Int64

            public init(issued: Int64, expires: Int64) {
                self.issued = issued
                self.expires = expires
            }
        }

        /// Bytes; a DNS name has at most 253.
        public static let maximumHost = 255

        public let relay: NodeKey
        public let peer: NodeKey
        public let mapping: MappingID
        public let protocols: TransportProtocols
        /// What a visitor dials.
        public let host: String
        public let ports: PortRange
        /// Seconds since 1970, by the relay's clock.
        public let issued: Int64
        /// When the relay may give the ports to others; seconds since 1970, by the relay's clock.
        public let expires: Int64
        public let limits: Limits

        /// `nil` for what a receipt cannot say: no protocol, a host with blanks, none or too long a one, a time that no
        /// calendar has.
        public init?(
            between parties: Parties, mapping: MappingID, protocols: TransportProtocols, host: String,
            ports: PortRange, during period: Period, limits: Limits
        ) {
            let (issued, expires) = (period.issued, period.expires)
            guard !protocols.isEmpty, protocols.isSubset(of: [.tcp, .udp]),
                (1...Self.maximumHost).contains(host.utf8.count), !host.unicodeScalars.contains(where: Self.isBlank),
                [issued, expires].allSatisfy({ RFC3339.unixSeconds(of: RFC3339.text(unixSeconds: $0)) == $0 })
            else { return nil }
            relay = parties.relay
            peer = parties.peer
            self.mapping = mapping
            self.protocols = protocols
            self.host = host
            self.ports = ports
            self.issued = issued
            self.expires = expires
            self.limits = limits
        }

        /// The receipt that the relay offers.
        public func signed(byRelay identity: NodeIdentity) -> Draft {
            Draft(terms: self, relaySignature: identity.signature(for: bytes))
        }

        private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
            PlainText.isControl(scalar) || scalar.properties.isWhitespace
        }
    }
}

// MARK: - As text

extension Receipt.Terms {
    /// The first line is what keeps a signature here from being one for anything else that a node signs.
    static let title = "p2prc receipt 1"
    static let lineNames = [
        title, "relay", "peer", "mapping", "protocol", "address", "ports", "issued", "expires", "limits",
    ]

    public var bytes: [UInt8] {
        let text = """
            \(Self.title)
            relay: \(relay)
            peer: \(peer)
            mapping: \(mapping)
            protocol: \(Self.word(protocols))
            address: \(host)
            ports: \(ports)
            issued: \(RFC3339.text(unixSeconds: issued))
            expires: \(RFC3339.text(unixSeconds: expires))
            limits: \(Self.words(limits))

            """
        return Array(text.utf8)
    }

    /// Reads exactly what `bytes` writes.
    public init(_ bytes: [UInt8]) throws(ReceiptFault) {
        guard bytes.count <= Receipt.maximumByteCount else { throw .tooLong }
        try self.init(lines: bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false))
        guard self.bytes == bytes else { throw .notCanonical }
    }

    /// Reads the first lines; the caller compares what it makes of them with what was there.
    init(lines: [ArraySlice<UInt8>]) throws(ReceiptFault) {
        guard let first = lines.first, first.elementsEqual(Self.title.utf8) else { throw .line(1, wanted: Self.title) }
        let key = "64 hexadecimal digits"
        let time = "a time such as 2030-01-31T12:00:00Z"
        let terms = Self(
            between: .init(
                relay: try Self.value(lines, 1, key) { NodeKey($0) },
                peer: try Self.value(lines, 2, key) { NodeKey($0) }),
            mapping: try Self.value(lines, 3, "16 hexadecimal digits") { MappingID($0) },
            protocols: try Self.value(lines, 4, "tcp, udp or tcp+udp") { Self.protocols($0) },
            host: try Self.value(lines, 5, "a host") { $0 },
            ports: try Self.value(lines, 6, "LOW-HIGH or one port") { PortRange($0) },
            during: .init(
                issued: try Self.value(lines, 7, time) { RFC3339.unixSeconds(of: $0) },
                expires: try Self.value(lines, 8, time) { RFC3339.unixSeconds(of: $0) }),
            limits: try Self.value(lines, 9, "none, or NAME=NUMBER with blanks between") { Self.limits($0) })
        guard let terms else {
            throw .line(6, wanted: "address: and a host of at most \(Self.maximumHost) bytes without blanks")
        }
        self = terms
    }

    private static func value<Value>(
        _ lines: [ArraySlice<UInt8>], _ index: Int, _ wanted: String, _ read: (String) -> Value?
    ) throws(ReceiptFault) -> Value {
        let name = "\(lineNames[index]): "
        guard index < lines.count, lines[index].starts(with: name.utf8),
            let text = String(validating: lines[index].dropFirst(name.utf8.count), as: UTF8.self),
            let value = read(text)
        else { throw .line(index + 1, wanted: "\(name)and \(wanted)") }
        return value
    }

    private static func word(_ protocols: TransportProtocols) -> String { protocols.words.joined(separator: "+") }

    private static func protocols(_ word: String) -> TransportProtocols? {
        [.tcp, .udp, [.tcp, .udp]].first { Self.word($0) == word }
    }

    private static var limitWords: [(name: String, path: WritableKeyPath<Limits, UInt64?>)] {
        [
            ("keys", \.keys), ("leases", \.leases), ("mappings", \.mappings), ("connections", \.connections),
            ("connections/s", \.connectionsPerSecond), ("bytes/s", \.bytesPerSecond),
        ]
    }

    private static func words(_ limits: Limits) -> String {
        let words = limitWords.compactMap { word in limits[keyPath: word.path].map { "\(word.name)=\($0)" } }
        return words.isEmpty ? "none" : words.joined(separator: " ")
    }

    private static func limits(_ text: String) -> Limits? {
        var limits = Limits()
        if text == "none" { return limits }
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            let parts = word.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, let number = UInt64(parts[1]),
                let path = limitWords.first(where: { $0.name == parts[0] })?.path
            else { return nil }
            limits[keyPath: path] = number
        }
        return limits
    }
}
