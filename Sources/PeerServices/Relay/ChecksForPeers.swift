internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What peers want looked at from here: public ports of their own at other relays. Belongs to the control loop.
final class ChecksForPeers {
    /// Dials for peers at once, for all of them together.
    static let maximum = 64

    private let loop: EventLoop
    /// Says which addresses may be dialled on a peer's word.
    private let judge: DialGuard
    private var underWay = 0

    init(on loop: EventLoop, judge: DialGuard) {
        self.loop = loop
        self.judge = judge
    }

    /// Dials that port where a peer's word is enough for it: at a host where this node has met a relay itself, so at no
    /// third one, and a port that a relay gives out. The answer is yes, or no and nothing else. Where something was
    /// dialled, a no comes when a check that nobody answers would end: it tells nothing of what was found there.
    ///
    /// - Parameters:
    ///   - key: of the peer that asks.
    ///   - hasMet: whether this node has itself met a relay at that host.
    ///   - answer: called once.
    func check(
        _ request: PeerMessage.CheckRequest, of key: NodeKey, hasMet: (HostAddress) -> Bool,
        _ answer: @escaping (_ passed: Bool) -> Void
    ) {
        guard underWay < Self.maximum, let address = place(of: request, hasMet) else { return answer(false) }
        let end = loop.clock() + ReachabilityProbe.limit
        underWay += 1
        PortProbe.begin(
            request.protocols, on: loop, at: address, nonce: request.nonce, mapping: request.mapping, key: key
        ) { [weak self] outcome in
            guard let self else { return }
            underWay -= 1
            if case .passed = outcome { return answer(true) }
            loop.schedule(after: end - loop.clock()) { answer(false) }
        }
    }

    private func place(of request: PeerMessage.CheckRequest, _ hasMet: (HostAddress) -> Bool) -> SocketAddress? {
        guard let host = HostAddress(request.host), hasMet(host),
            judge.allows(host, port: request.port, for: .publicPort)
        else { return nil }
        return SocketAddress(numeric: host.description, port: request.port)
    }
}
