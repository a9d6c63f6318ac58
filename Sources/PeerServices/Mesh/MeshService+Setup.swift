public import Logging
public import PeerCore
public import PeerProbing
public import PeerWire

extension MeshService {
    /// What a mesh service is told once, when the node starts.
    public struct Setup: Sendable {
        public var name: String
        public var software: String
        /// The server port, as others would dial it.
        public var port: UInt16
        public var process: ProcessStart
        public var isRelay = false
        /// Whether networks are dialled on others' word beyond the usual (`[mesh] dial`).
        public var isWidened = false
        /// From the IP table, each judged already.
        public var records: [SignedRecord] = []
        /// Nodes that a former process met, and where.
        public var met: [(NodeKey, NodeAddress)] = []
        /// The number of the last record that a former process wrote.
        public var lastIssue: UInt64 = 0
        /// What the user says of this node.
        public var note = ""
        var limits = GossipLimits()
        /// Whom the node asks, and when, is drawn from it.
        var seed = UInt64.random(in: 0 ... .max)

        public init(name: String, software: String, port: UInt16, process: ProcessStart) {
            self.name = name
            self.software = software
            self.port = port
            self.process = process
        }
    }

    /// Parts of the node that its mesh works with.
    public struct Parts {
        public var client: NodeClient
        /// Judges addresses that others named.
        public var judge: DialGuard
        public var writer: TableWriter
        public var log: Logger

        public init(client: NodeClient, judge: DialGuard, writer: TableWriter, log: Logger) {
            self.client = client
            self.judge = judge
            self.writer = writer
            self.log = log
        }
    }
}
