internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// One relay that this node uses: the connection to it, what is agreed there, and what the user was told of it. Belongs
/// to the control loop.
final class UsedRelay {
    let connection: RelayConnection
    /// The lane with the first of its groups.
    let lane: Int
    var agreements: [MappingID: PeerPortAgreement] = [:]
    /// Mappings that wait for the ports which another relay is about to give.
    var waiting: Set<MappingID> = []
    var checks = RelayChecks()
    var latency = RelayLatency()
    /// What it says of letting its peers go, and when that is looked at once more.
    var drain = DrainWord()
    var drainTimer: LoopTimer?
    /// Whether data channels of this session stand.
    var channels = ChannelTrouble(groups: 1)
    /// Frames of datagrams take a stream, because none get through themselves.
    var datagramsTakeStream = false
    /// Its session is about to end, and its ports refuse already.
    var isLeaving = false
    /// Waits for what the relay makes of a newer token; an empty reason: it counts.
    var renewal: ((_ reason: String) -> Void)?
    /// Why it does not carry a mapping, as the user was told; it is asked again and again.
    var toldRefusals: [MappingID: String] = [:]
    /// Mappings of which the user was told that nobody reaches them.
    var toldUnreachable: Set<MappingID> = []
    /// What this node's server listens on for this relay.
    var ownPort: UInt16?
    /// Mappings whose receipt of this relay lies in the home.
    var receipts: Set<MappingID> = []

    init(_ connection: RelayConnection, lane: Int) {
        self.connection = connection
        self.lane = lane
    }

    var endpoint: Endpoint { connection.endpoint }
    var chosenKey: NodeKey? { connection.chosenKey }
    var isNamed: Bool { connection.isNamed }
    /// Of the session that stands; `nil` without one.
    var terms: SessionTerms? { connection.terms }
    /// As it proved it last.
    var key: NodeKey? { connection.key }
    var name: String? { connection.name }
    var reason: String? { connection.reason }
    var isEstablished: Bool { connection.isEstablished }
    var remoteAddress: SocketAddress? { connection.remoteAddress }

    func send(_ message: PeerMessage) { connection.send(message) }
}
