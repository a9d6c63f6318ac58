internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// A group of a session's data channels at the peer, which keeps as many ready as the relay wants.
final class DialledPool {
    let terms: SessionTerms
    let group: ChannelGroup
    let addresses: [SocketAddress]
    var wanted: Int
    var channels: [ReadyChannel] = []
    /// On their way: connecting, or proving themselves.
    var dialling: [ObjectIdentifier: any Cancellable] = [:]
    private var nextNumber: UInt64 = 1
    private(set) var isPausing = false
    /// Pauses in a row, and when the last one began.
    private var pauses = 0
    private var lastPause = Instant.zero
    /// Channels that were taken since the last tick and are not back.
    var recentlyTaken = 0
    /// Goes round when it has no more numbers: a loan of then is over by far.
    var tick: UInt32 = 0
    var isTicking = false
    /// Channels that were dialled a moment ago, and when each was there.
    private var young: [ObjectIdentifier: Instant] = [:]
    /// It was reported that channels fail.
    var isInTrouble = false

    /// Doubled each time it is not the first one in a row, up to 4 s.
    private static let pauseAfterFailure = Instant.Span.milliseconds(500)
    private static let maximumDoublings = 3
    /// After so long without one it is the first one again.
    private static let calm = Instant.Span.seconds(30)
    /// At most so many connections to a relay are on their way at once.
    private static let maximumDialling = 64
    /// A channel that is there for so long, or that a visitor came by, stands.
    static let steady = Instant.Span.seconds(2)

    init(terms: SessionTerms, group: ChannelGroup, addresses: [SocketAddress], wanted: Int) {
        self.terms = terms
        self.group = group
        self.addresses = addresses
        self.wanted = wanted
    }

    /// Whether one more is to be dialled.
    var isToDial: Bool {
        !isPausing && channels.count + dialling.count + recentlyTaken < wanted
            && dialling.count < Self.maximumDialling
    }

    /// What the next channel is for.
    func nextPurpose() -> Purpose {
        defer { nextNumber += 1 }
        return .channel(group, terms.protection, number: nextNumber)
    }

    // MARK: Pauses

    /// Begins a pause, unless there is one: however many of those on their way fail meanwhile, it is one.
    ///
    /// - Returns: how long it is; `nil` while there is one already.
    func pause(at now: Instant) -> Instant.Span? {
        guard !isPausing else { return nil }
        isPausing = true
        if now - lastPause > Self.calm { pauses = 0 }
        lastPause = now
        defer { pauses += 1 }
        return Self.pauseAfterFailure * (1 << UInt64(min(pauses, Self.maximumDoublings)))
    }

    func pauseIsOver() { isPausing = false }

    /// The next pause is the first one in a row.
    func forgetPauses() { pauses = 0 }

    // MARK: Which channels stand

    func isNew(_ channel: ReadyChannel, at now: Instant) {
        young = young.filter { now - $0.value < Self.steady }
        young[ObjectIdentifier(channel)] = now
    }

    func isSteady(_ channel: ReadyChannel, at now: Instant) -> Bool {
        young[ObjectIdentifier(channel)].map { now - $0 >= Self.steady } ?? true
    }

    func isGone(_ channel: ReadyChannel) {
        channels.removeAll { $0 === channel }
        young[ObjectIdentifier(channel)] = nil
    }

    func close() {
        for attempt in dialling.values { attempt.cancel() }
        for channel in channels { channel.close() }
        dialling = [:]
        channels = []
    }
}
