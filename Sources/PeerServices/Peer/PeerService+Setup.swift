public import Logging
public import PeerCore
package import PeerDataPlane
public import PeerReactor
public import PeerStorage
internal import PeerWire

extension PeerService {
    /// What a peer is told once, when the node starts.
    public struct Setup: Sendable {
        public var name: String
        public var software: String
        /// This process among those with the node's key.
        public var process: ProcessStart
        /// The node's own, which is exposed like a service.
        public var serverPort: UInt16
        public var bindHost: SocketAddress.Host?
        /// Data channels without encryption where the relay allows it.
        public var wantsPlain = false
        /// Sessions to relays that this node chooses by itself, those that were named included; 0: it chooses none.
        public var sessions = 0
        /// Files that the process may have open.
        public var openFiles = 1_024
        /// Of each mapping for UDP, on each lane.
        public var flows = FlowTable.Limits()
        /// What is known of relays from before.
        public var knownRelays = KnownRelays()
        /// What relays gave before, the last one last.
        public var remembered: [AgreedPorts] = []

        /// Those that had sessions when the last process ended.
        var lastRelays: [String] { PortMemory(remembered).lastRelays(max(1, sessions)) }

        public init(name: String, software: String, process: ProcessStart, serverPort: UInt16) {
            self.name = name
            self.software = software
            self.process = process
            self.serverPort = serverPort
        }
    }

    /// Parts of the node that a peer works with.
    public struct Parts {
        public var server: NodeServer
        /// By which streams to relays go.
        package var carriers: Carriers
        public var writer: TableWriter
        public var receipts: ReceiptWriter
        /// Judges addresses that others named.
        public var judge: DialGuard
        public var log: Logger

        package init(
            server: NodeServer, carriers: Carriers, writer: TableWriter, receipts: ReceiptWriter, judge: DialGuard,
            log: Logger
        ) {
            self.server = server
            self.carriers = carriers
            self.writer = writer
            self.receipts = receipts
            self.judge = judge
            self.log = log
        }
    }
}
