internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// A session's data channels on one lane of the relay: those that are ready, those that come back, and the calls that
/// wait for one.
final class ChannelPool {
    /// A call that waits for a channel.
    final class WaitingCall {
        var call: Call?
        let terms: Call.Terms
        var timer: LoopTimer?

        init(_ call: consuming Call) {
            terms = call.terms
            self.call = consume call
        }
    }

    let session: SessionID
    /// The peer at the other end.
    let key: NodeKey
    /// Where the session comes from.
    let source: HostAddress?
    /// The youngest one last.
    var ready: [ReadyChannel] = []
    /// Channels whose visitor has gone at this end, until the peer says that it is through with it too.
    var returning: [ObjectIdentifier: ReadyChannel] = [:]
    var waiting: [WaitingCall] = []
    var demand: ChannelDemand
    /// Calls on one of its channels.
    var carried = 0
    /// `nil`: its visitors are held to nothing.
    var quota: VisitorQuota?
    weak var member: Member?
    var membership: Grant.Membership?

    /// The sessions of one membership on this lane.
    final class Member {
        var pools: [SessionID: ChannelPool] = [:]
        /// Channels that nobody uses.
        var idle: Int { pools.values.reduce(0) { $0 + $1.ready.count + $1.returning.count } }
        /// Of the ready ones, those that are not wanted either.
        var surplus: Int { pools.values.reduce(0) { $0 + $1.surplus } }
    }

    /// How long a channel is waited for whose visitor has gone.
    private static let returnLimit = Instant.Span.seconds(60)

    init(
        of session: SessionID, key: NodeKey, from source: HostAddress?, _ quota: VisitorQuota?, groups: Int,
        at now: Instant
    ) {
        self.session = session
        self.key = key
        self.source = source
        self.quota = quota
        demand = ChannelDemand(groups: groups, at: now)
    }

    /// Ready channels that are not wanted.
    var surplus: Int { max(0, ready.count - demand.wanted) }

    /// The youngest channel that is not dead.
    ///
    /// - Parameter start: of the visitor. It wants an answer where the channel has to prove that it lives.
    func takeChannel(_ start: inout VisitorStart) -> (ReadyChannel, isFresh: Bool)? {
        while let channel = ready.popLast() {
            switch channel.liveness {
            case .fresh: return (channel, true)
            case .likely:
                start.wantsAnswer = true
                return (channel, false)
            case .stale: channel.close()
            }
        }
        return nil
    }

    /// The first call in line.
    func nextCall() -> Call? {
        while !waiting.isEmpty {
            let first = waiting.removeFirst()
            first.timer?.cancel()
            if let call = first.call.take() { return call }
        }
        return nil
    }

    /// Closes what nobody needed for a while. That is decided here: the relay knows which channel it is about to use.
    func trim(at now: Instant) {
        // Channels on which the peer is busy with the last visitor's bytes for so long that another one is as good.
        for (id, channel) in returning where channel.age > Self.returnLimit {
            returning[id] = nil
            channel.close()
        }
        let unused = demand.unused(ready: ready.count, at: now)
        guard unused > 0 else { return }
        // The oldest ones.
        for channel in ready.prefix(unused) { channel.close() }
        ready.removeFirst(unused)
    }

    /// Closes the channels. Visits keep their own streams.
    func close() {
        for channel in ready { channel.close() }
        for channel in returning.values { channel.close() }
        ready = []
        returning = [:]
    }
}
