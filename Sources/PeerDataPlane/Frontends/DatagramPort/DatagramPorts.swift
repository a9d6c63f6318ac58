package import PeerCore
package import PeerReactor
package import PeerWire

/// The relay's public ports for datagrams on one loop, and the flows of their visitors.
package final class DatagramPorts: Frontend {
    private let loop: EventLoop
    private let sessions: any SessionDirectory
    private let policy: VisitorPolicy
    private var claims: [Claim: ClaimFlows] = [:]
    private var byHandle: [UInt32: ClaimFlows] = [:]
    private var channels: [SessionID: RelayDatagrams] = [:]
    private var nextHandle: UInt32 = 1

    /// - Parameter policy: this lane's share of it.
    package init(on loop: EventLoop, sessions: any SessionDirectory, policy: VisitorPolicy) {
        self.loop = loop
        self.sessions = sessions
        self.policy = policy
    }

    // MARK: Sessions

    /// A session's datagrams have a way from now on.
    package func add(_ channel: RelayDatagrams) {
        channels[channel.session] = channel
        for flows in claims.values where flows.session == channel.session { flows.use(channel) }
    }

    package func remove(_ session: SessionID) {
        channels[session] = nil
        for flows in claims.values where flows.session == session { flows.use(nil) }
    }

    // MARK: Ports

    /// - Parameters:
    ///   - sockets: each with how many ports it is after the first one.
    ///   - isAll: no others of the claim receive any more.
    ///   - session: that the ports belong to.
    ///   - filter: whom the mapping lets in, of those that the relay lets in.
    package func listen(
        _ claim: Claim, _ sockets: [(offset: UInt16, socket: DatagramSocket)], isAll: Bool, for session: SessionID,
        _ filter: NetworkFilter
    ) {
        let flows = claims[claim] ?? makeFlows(of: claim)
        flows.begin(for: session, filter, by: channels[session])
        (flows.source, flows.quota) = sessions.terms(of: session) ?? (nil, nil)
        flows.listen(sockets, isAll: isAll, on: loop)
    }

    private func makeFlows(of claim: Claim) -> ClaimFlows {
        let flows = ClaimFlows(of: claim, handle: nextHandle, policy, at: loop.now)
        nextHandle = (nextHandle + 1) & ClaimFlows.handleMask
        claims[claim] = flows
        byHandle[flows.handle] = flows
        return flows
    }

    /// - Parameter only: these ports alone, by how many they are after the first one.
    package func pause(_ claim: Claim, _ only: Set<UInt16>? = nil) { claims[claim]?.pause(only) }

    /// The ports are given up, with all of their flows.
    package func forget(_ claim: Claim) {
        guard let flows = claims.removeValue(forKey: claim) else { return }
        flows.pause(nil)
        byHandle[flows.handle] = nil
    }

    package func timePassed() {
        for flows in claims.values {
            // A token may have been renewed.
            flows.quota = flows.session.flatMap { sessions.terms(of: $0)?.quota }
            flows.expire(at: loop.now)
        }
    }

    package func traffic() -> [Claim: DatagramTraffic] { claims.mapValues(\.traffic) }
}

extension DatagramPorts: PeerFrames {
    /// A peer speaks of flows of its own ports alone.
    private func flows(of number: DatagramFrame.Flow, _ channel: RelayDatagrams) -> ClaimFlows? {
        guard let flows = byHandle[ClaimFlows.handle(of: number)], flows.claim.key == channel.key else { return nil }
        return flows
    }

    package func answered(
        _ flow: DatagramFrame.Flow, _ bytes: UnsafeRawBufferPointer, by channel: RelayDatagrams
    ) {
        guard let room = loop.datagrams else { return }
        flows(of: flow, channel)?.answered(flow, bytes, room, at: loop.now)
    }

    package func told(_ flow: DatagramFrame.Flow, isKnown: Bool, by channel: RelayDatagrams) {
        flows(of: flow, channel)?.told(flow, isKnown: isKnown)
    }

    package func ended(_ flow: DatagramFrame.Flow, by channel: RelayDatagrams) {
        flows(of: flow, channel)?.ended(flow)
    }
}

/// What happened to the datagrams of one mapping. Counts since the process started.
public struct DatagramTraffic: Hashable, Sendable {
    public var flows = 0
    public var opened: UInt64 = 0
    /// Flows that gave way to others, and visitors that got no place.
    public var displaced: UInt64 = 0
    public var refused: UInt64 = 0
    /// Above the membership's rate.
    public var limited: UInt64 = 0
    /// Sent to the other node in pieces.
    public var cut: UInt64 = 0
    /// Longer than three pieces, or, with the header for the target, than a datagram can be.
    public var tooLong: UInt64 = 0
    /// There was no way to the other node.
    public var lost: UInt64 = 0
    /// At a peer: came to where a target answers, from elsewhere (`StrayWatch`).
    public var strays: UInt64 = 0
    /// At a relay: they go by a stream at present.
    public var takesStream = false
    public var fromVisitors: UInt64 = 0
    public var toVisitors: UInt64 = 0
    public var bytesFromVisitors: UInt64 = 0
    public var bytesToVisitors: UInt64 = 0

    package init() {}

    mutating func count(_ fate: FrameSender.Fate) {
        switch fate {
        case .sent: break
        case .cut: cut += 1
        case .tooLong: tooLong += 1
        case .lost: lost += 1
        }
    }

    static func + (left: Self, right: Self) -> Self {
        var sum = left
        sum.flows += right.flows
        sum.opened += right.opened
        sum.displaced += right.displaced
        sum.refused += right.refused
        sum.limited += right.limited
        sum.cut += right.cut
        sum.tooLong += right.tooLong
        sum.lost += right.lost
        sum.strays += right.strays
        sum.takesStream = left.takesStream || right.takesStream
        sum.fromVisitors += right.fromVisitors
        sum.toVisitors += right.toVisitors
        sum.bytesFromVisitors += right.bytesFromVisitors
        sum.bytesToVisitors += right.bytesToVisitors
        return sum
    }
}
