internal import PeerCore
internal import PeerReactor
internal import PeerWire

extension PeerService {
    /// One relay that this node uses: its link, the stream of the moment, and what is agreed there.
    final class Relay {
        let endpoint: Endpoint
        /// Chosen by this node, for what its record and its probes say: the key that it has to prove. `nil`: the user
        /// named it.
        let chosenKey: NodeKey?
        var link: RelayLink
        var channel: ByteChannel?
        var decoder = FrameDecoder()
        /// What it may say.
        var work = Workload(.relay, at: .zero)
        var greeting: [UInt8] = []
        /// The attempt that is under way.
        var dialler: RelayDialler?
        var timer: LoopTimer?
        var terms: SessionTerms?
        var lane = 0
        var agreements: [MappingID: PeerPortAgreement] = [:]
        var checksUnderWay = 0
        var checkPace = CheckPace()
        /// Mappings of this session that another relay was asked to look at.
        var askedAbout: Set<MappingID> = []
        /// Of this session, in the order in which they came.
        var waitingChecks: [PeerService.Check] = []
        /// The name that it tells visitors, where that is not the one by which this node knows it.
        var toldName = ToldName()
        /// Of this session.
        var checksAwaitingName: [PeerService.Check] = []
        var name: String?
        var key: NodeKey?
        var reason: String?
        var wasRefused = false
        /// There is a token for it, which names the key of another; it is not shown.
        var hidesToken = false
        /// Waits for what the relay makes of a newer token; an empty reason: it counts.
        var renewal: ((_ reason: String) -> Void)?
        var latency: Instant.Span?
        var samples: [Instant.Span] = []
        /// What its pings of the last minutes took.
        var figures = SampleLog()
        /// What it says of letting its peers go, and when that is looked at once more.
        var drain = DrainWord()
        var drainTimer: LoopTimer?
        /// Whether data channels of this session stand.
        var channels = ChannelTrouble(groups: 1)
        /// Its session is about to end, and its ports refuse already.
        var isLeaving = false
        /// Why it does not carry a mapping, as the user was told; it is asked again and again.
        var toldRefusals: [MappingID: String] = [:]
        /// Mappings of which the user was told that nobody reaches them.
        var toldUnreachable: Set<MappingID> = []
        /// Mappings that wait for the ports which another relay is about to give.
        var waiting: Set<MappingID> = []
        var lastSaved = Instant.zero
        var lastHeard: WallTime?
        var isLocal = false
        /// What this node's server listens on for this relay.
        var ownPort: UInt16?
        /// Mappings whose receipt of this relay lies in the home.
        var receipts: Set<MappingID> = []

        init(_ endpoint: Endpoint, chosenFor key: NodeKey? = nil, link: RelayLink) {
            self.endpoint = endpoint
            chosenKey = key
            self.link = link
        }

        var isNamed: Bool { chosenKey == nil }
    }
}
