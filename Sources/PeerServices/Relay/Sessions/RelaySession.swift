internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// One peer's session at a relay, from its first byte on. Belongs to the control loop.
final class RelaySession {
    enum Phase { case handshake, admitted, over }

    struct Datagrams {
        /// What they have in front.
        let number: UInt32
        /// Of the plain channels for their frames.
        var plainNumbers = UsedNumbers()
    }

    let id: SessionID
    let channel: ByteChannel
    var decoder = FrameDecoder()
    var handshake: RelayHandshake
    /// Proven by TLS.
    let key: NodeKey
    let secrets: SessionSecrets
    let source: HostAddress?
    /// Called once, when the handshake is over.
    let slot: NodeServer.Slot
    var phase = Phase.handshake
    /// What it calls itself, once it has.
    var name = "a peer"
    /// Of the plain data channels of each group.
    var numbers: [UsedNumbers] = []
    /// Each has the group with its number here; none before the session is welcome.
    var lanes: [Int] = []
    /// The lane with the first of its groups gets them.
    var datagrams: Datagrams?
    var admission: RelayHandshake.Admission?
    /// On whose account it is, once it is admitted.
    var membership: Grant.Membership?
    var isVouchedFor = false
    /// A newer token is being looked at.
    var isTokenJudged = false
    /// How often it may show one: its mappings are looked at each time.
    var tokens = RateBucket(perSecond: 1, burst: 4, at: .zero)
    /// Both ends asked for data channels without encryption.
    var isPlain = false
    /// Ends a handshake that takes too long.
    var timer: LoopTimer?

    init(id: SessionID, _ arrival: NodeServer.Arrival, handshake: RelayHandshake) {
        self.id = id
        self.handshake = handshake
        channel = arrival.channel
        key = arrival.key
        secrets = arrival.secrets
        source = arrival.source
        slot = arrival.slot
    }

    /// This end of its connection.
    var localHost: HostAddress? { channel.localAddress.flatMap { HostAddress(bytes: $0.hostBytes) } }

    func send(_ message: RelayMessage) { channel.send(message.bytes) }

    /// The last word of this end.
    func close(_ reason: CloseReason, _ detail: String) {
        send(.close(reason, detail: detail))
        channel.closeAfterFlush()
    }
}
