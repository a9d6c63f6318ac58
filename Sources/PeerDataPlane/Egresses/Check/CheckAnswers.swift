package import PeerCore
internal import PeerReactor
package import PeerWire

/// Answers the checks from outside that this node expects. A call that turns out to be somebody else's goes on to the
/// next way out, with what was read of it.
package final class CheckAnswers: Egress {
    package static let name = EgressName(rawValue: "check")

    /// A check's probe in the smallest frames that there are.
    private static let probeByteCount = ReachabilityCheck.probeByteCount * (1 + ChannelFrame.headerByteCount)
    /// How long a visitor's first bytes are awaited while a check is pending.
    private static let patience = Instant.Span.milliseconds(300)

    package let offer = Router.Offer(name, to: .own, for: [.visitor, .checker])
    private weak var lane: Lane?
    private let routes: RouteTable
    private let identity: () -> NodeIdentity

    /// - Parameter identity: the node's, with whose key answers are signed.
    package init(on lane: Lane, routes: RouteTable, identity: @escaping () -> NodeIdentity) {
        self.lane = lane
        self.routes = routes
        self.identity = identity
    }

    package func take(_ call: consuming Call) {
        guard let lane else { return }
        guard let route = routes[call.terms.destination], route.isChecked(call.terms.portOffset) else {
            return lane.pass(call)
        }
        let (terms, hops) = (call.terms, call.hops)
        let waiting = FirstBytes(
            on: lane.loop, call.intoStream(), maximum: Self.probeByteCount, limit: Self.patience,
            isEnough: { bytes in
                let (payload, isEnded) = ChannelFrame.opening(of: bytes)
                return isEnded || ReachabilityCheck.read(payload) != .incomplete
            },
            done: { [weak self] stream, bytes in
                var call = Call(stream, terms)
                call.read = bytes
                call.hops = hops
                self?.judge(call)
            })
        _ = waiting
    }

    private func judge(_ call: consuming Call) {
        guard let lane else { return }
        let payload = ChannelFrame.opening(of: call.read).payload
        guard case .own(let mapping) = call.terms.destination, case .probe(let nonce) = ReachabilityCheck.read(payload),
            routes[mapping]?.pendingChecks[nonce] == call.terms.portOffset
        else { return lane.pass(call) }
        let answer = ReachabilityCheck.answer(nonce: nonce, mapping: mapping, by: identity())
        _ = call.stream.sendAtOnce(ChannelFrame.framed(answer) + ChannelFrame.end)
        let loan = call.terms.loan
        let farewell = ByteChannel(on: lane.loop, call.intoStream())
        farewell.closeAfterFlush()
        loan?.giveBack(nil, [])
    }
}
