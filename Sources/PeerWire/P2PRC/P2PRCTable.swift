/// The IP table of P2PRC (`ip_table.json`, and what its nodes post to each other), in every form since 2021.
///
/// Read leniently, as the Go program reads it: names in any case, a value of the wrong kind is as good as none, what is
/// not known is passed over. Written strictly: the sixteen names of its latest version, in its order and types.
public struct P2PRCTable: Hashable, Sendable {
    /// Bytes of a text that is read at all, and rows in it.
    public static let maximumByteCount = 8 << 20
    public static let maximumRows = 16_384
    /// Bytes of UTF-8 of each text in a row; a longer one is cut. An SSH key of 4096 bits has some 750.
    public static let maximumText = 1_024
    /// Values of all kinds for each row, and as many as a small table may have besides.
    private static let valuesPerRow = 32

    /// A node, as it is told from one to the next: nobody has signed it.
    public struct Row: Hashable, Sendable {
        public var name = ""
        /// The system's user on that machine, for SSH.
        public var machineUsername = ""
        /// Its own, or the relay's where `escapeImplementation` is `FRP`.
        public var ipv4 = ""
        public var ipv6 = ""
        /// Nanoseconds, half of a round trip. A claim.
        public var latency: Int64 = 0
        public var download = 0.0
        public var upload = 0.0
        /// A number as text; 2021 had none.
        public var serverPort = ""
        public var udpServerPort = ""
        public var bareMetalSSHPort = ""
        public var nat = false
        /// `FRP`, `None`, or nothing for a public node.
        public var escapeImplementation = ""
        public var proxyServer = false
        public var unsafeMode = false
        /// A line of an `authorized_keys` file. Nothing here ever uses it.
        public var publicKey = ""
        public var customInformation = ""

        public init() {}

        /// Where it would be dialled; `nil` without an address that can be. The port of rows that have none was 8088.
        public var address: NodeAddress? {
            let port = serverPort.isEmpty ? 8_088 : UInt16(serverPort) ?? 0
            let host = HostAddress(ipv4) ?? HostAddress(ipv6)
            return host.flatMap { NodeAddress(host: $0, port: port) }
        }
    }

    public var rows: [Row]

    public init(rows: [Row] = []) { self.rows = rows }

    /// - Parameters:
    ///   - maximumByteCount: a longer text is refused, unread.
    ///   - maximumRows: likewise.
    public init(
        json bytes: [UInt8], maximumByteCount: Int = Self.maximumByteCount, maximumRows: Int = Self.maximumRows
    ) throws(P2PRCFault) {
        guard bytes.count <= maximumByteCount else {
            throw P2PRCFault(line: 0, text: "it has \(bytes.count) bytes; \(maximumByteCount) are the most")
        }
        let document = try BoundedJSON.read(bytes, maximumValues: (maximumRows + 32) * Self.valuesPerRow)
        guard case .object(let members) = document else {
            throw P2PRCFault(line: 0, text: "it is no object with a list ip_address")
        }
        rows = []
        // The last one counts, as in Go.
        switch members.last(where: { $0.name.lowercased() == "ip_address" })?.value {
        case .list(let values):
            guard values.count <= maximumRows else {
                throw P2PRCFault(line: 0, text: "it has \(values.count) rows; \(maximumRows) are the most")
            }
            for value in values {
                if case .object(let members) = value { rows.append(Row(members)) }
            }
        case .null: break
        case nil: throw P2PRCFault(line: 0, text: "it has no list ip_address")
        case .flag, .number, .text, .object: throw P2PRCFault(line: 0, text: "ip_address is no list")
        }
    }
}

extension P2PRCTable.Row {
    fileprivate init(_ members: [BoundedJSON.Member]) {
        for member in members { take(member.name.lowercased(), member.value) }
    }

    private mutating func take(_ name: String, _ value: BoundedJSON.Value) {
        switch name {
        case "name": set(&self.name, value)
        case "machineusername": set(&machineUsername, value)
        case "ipv4": set(&ipv4, value)
        case "ipv6": set(&ipv6, value)
        case "latency": if case .number(let text) = value { latency = Self.nanoseconds(text) }
        case "download": if case .number(let text) = value { download = Double(text) ?? 0 }
        case "upload": if case .number(let text) = value { upload = Double(text) ?? 0 }
        case "serverport": set(&serverPort, value)
        case "udpserverport": set(&udpServerPort, value)
        case "baremetalsshport": set(&bareMetalSSHPort, value)
        case "nat": set(&nat, value)
        case "escapeimplementation": set(&escapeImplementation, value)
        case "proxyserver": set(&proxyServer, value)
        case "unsafemode": set(&unsafeMode, value)
        case "publickey": set(&publicKey, value)
        case "custominformation": set(&customInformation, value)
        default: break
        }
    }

    /// A number does for a text too: ports were both.
    private func set(_ field: inout String, _ value: BoundedJSON.Value) {
        switch value {
        case .text(let text): field = Self.cut(text)
        case .number(let text): field = text
        case .null, .flag, .list, .object: break
        }
    }

    /// Until April 2025 they were the texts "True" and "False".
    private func set(_ field: inout Bool, _ value: BoundedJSON.Value) {
        switch value {
        case .flag(let flag): field = flag
        case .text(let text): field = text.lowercased() == "true"
        case .null, .number, .list, .object: break
        }
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > P2PRCTable.maximumText else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: P2PRCTable.maximumText)
        // Back to where a character begins.
        while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil {
            end = text.utf8.index(before: end)
        }
        return String(text[..<end])
    }

    private static func nanoseconds(_ text: String) -> Int64 {
        if let number = Int64(text) { return max(0, number) }
        guard let number = Double(text), number >= 0 else { return 0 }
        return Int64(exactly: number.rounded()) ?? 0
    }
}
