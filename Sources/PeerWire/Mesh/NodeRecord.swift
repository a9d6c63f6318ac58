/// What a node says of itself: a row of everybody's IP table, written and signed by the node that it describes
/// (`SignedRecord`). What it says is a claim. Who takes it for a relay looks at the witnesses, and dials it.
public struct NodeRecord: Hashable, Sendable {
    public static let maximumAddresses = 8
    public static let maximumMappings = 16
    public static let maximumWitnesses = 4
    /// Bytes of UTF-8, of a name, a software's name, and of each text of a mapping.
    public static let maximumText = 64
    /// Bytes of UTF-8, of what its user says of it.
    public static let maximumNote = 192
    /// Seconds. A record that wants to live longer is refused.
    public static let longestLifetime: UInt32 = 86_400

    /// Bytes of all mappings: what a record has room for when everything else in it is as long as it may be.
    public static let maximumMappingBytes = 900

    /// Whether something may be a name in a record: short enough, and all of it shows.
    public static func isText(_ text: String) -> Bool { text.utf8.count <= maximumText && PlainText.isClean(text) }

    /// Whether a text may be a note: short enough, and all of it shows.
    public static func isNote(_ text: String) -> Bool { text.utf8.count <= maximumNote && PlainText.isClean(text) }

    /// What a node offers to others. Bits that are not known here are passed over.
    public struct Roles: OptionSet, Hashable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// It was started with `--reverse-proxy`.
        public static let relay = Roles(rawValue: 1)
        /// It lets its peers go and takes no new ones.
        public static let draining = Roles(rawValue: 2)
    }

    /// Which process wrote it: what tells a node that was restarted from a home that runs twice.
    public struct Process: Hashable, Sendable {
        /// When the process began (`ProcessStart`). Of two processes with one key, the later goes on.
        public var began: UInt64
        /// Drawn at random by the process.
        public var instance: UInt64

        public init(began: UInt64, instance: UInt64) {
            self.began = began
            self.instance = instance
        }
    }

    /// A mapping that the node wants others to know of: where a visitor dials.
    public struct Mapping: Hashable, Sendable {
        public var name: String
        public var protocols: TransportProtocols
        /// A name or an address of the relay.
        public var host: String
        public var ports: PortRange

        /// As it is written: protocols (1), first port (2), ports (2), host (1 + n), name (1 + n).
        public var byteCount: Int { 7 + host.utf8.count + name.utf8.count }

        public init(name: String, protocols: TransportProtocols, host: String, ports: PortRange) {
            self.name = name
            self.protocols = protocols
            self.host = host
            self.ports = ports
        }
    }

    /// What a node says of itself, without what its author numbers and dates.
    public struct Content: Hashable, Sendable {
        public var roles: Roles
        public var name: String
        public var software: String
        public var addresses: [NodeAddress]
        public var mappings: [Mapping]
        public var witnesses: [DialBackStatement]
        /// What its user says of it (`--amd`).
        public var note: String

        public init(
            roles: Roles = [], name: String = "", software: String = "", addresses: [NodeAddress] = [],
            mappings: [Mapping] = [], witnesses: [DialBackStatement] = [], note: String = ""
        ) {
            self.roles = roles
            self.name = name
            self.software = software
            self.addresses = addresses
            self.mappings = mappings
            self.witnesses = witnesses
            self.note = note
        }

        /// As much of it as a record has room for.
        public var fitted: Content {
            var content = self
            content.addresses = Array(addresses.prefix(NodeRecord.maximumAddresses))
            content.mappings = NodeRecord.fitting(mappings)
            content.witnesses = Array(witnesses.prefix(NodeRecord.maximumWitnesses))
            let note = PlainText.cleaned(note)
            content.note = NodeRecord.isNote(note) ? note : ""
            return content
        }
    }

    /// As many of these, from the first on, as every record has room for. What no record can hold is left out.
    public static func fitting(_ mappings: [Mapping]) -> [Mapping] {
        var taken: [Mapping] = []
        var room = maximumMappingBytes
        for mapping in mappings where HostText.isHost(mapping.host) && isText(mapping.host) && isText(mapping.name) {
            guard taken.count < maximumMappings, mapping.byteCount <= room else { break }
            room -= mapping.byteCount
            taken.append(mapping)
        }
        return taken
    }

    public var key: NodeKey
    /// Grows with each record of a key, over restarts too: milliseconds of the wall clock, or one more than the last
    /// where the clock is behind that. Of two records of a key the higher one counts.
    public var issue: UInt64
    public var process: Process
    /// Seconds since 1970.
    public var issued: Int64
    /// Seconds after `issued`.
    public var lifetime: UInt32
    public var roles: Roles
    public var name: String
    public var software: String
    /// Where others reach it directly; none for a node behind a NAT.
    public var addresses: [NodeAddress]
    public var mappings: [Mapping]
    /// Others' word that they have dialled one of the addresses and met this key there.
    public var witnesses: [DialBackStatement]
    /// What its user says of it (`--amd`), for people.
    public var note: String

    /// Seconds since 1970; from then on the record counts for nothing.
    public var expires: Int64 { issued + Int64(lifetime) }

    public init(
        key: NodeKey, issue: UInt64, process: Process, issued: Int64, lifetime: UInt32, content: Content = Content()
    ) {
        self.key = key
        self.issue = issue
        self.process = process
        self.issued = issued
        self.lifetime = lifetime
        roles = content.roles
        name = content.name
        software = content.software
        addresses = content.addresses
        mappings = content.mappings
        witnesses = content.witnesses
        note = content.note
    }
}

/// An address with a port, always numeric: what others are to dial on somebody's word must not depend on what a name
/// leads to by then.
public struct NodeAddress: Hashable, Sendable, CustomStringConvertible {
    public var host: HostAddress
    public var port: UInt16

    /// `nil` for port 0.
    public init?(host: HostAddress, port: UInt16) {
        guard port > 0 else { return nil }
        self.host = host
        self.port = port
    }

    public var description: String { host.isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
