internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What a peer wants looked at from here: a public port of its own at another relay.
extension RelayService {
    /// Dials for peers at once, for all of them together.
    static let maximumChecks = 64

    /// Dials that port where a peer's word is enough for it: at a host where this node has met a relay itself, so at no
    /// third one, and a port that a relay gives out. The answer is yes, or no and nothing else. Where something was
    /// dialled, a no comes when a check that nobody answers would end: it tells nothing of what was found there.
    func check(_ id: SessionID, _ request: PeerMessage.CheckRequest, _ key: NodeKey) {
        guard checksUnderWay < Self.maximumChecks, let address = place(of: request) else {
            return answer(id, request.number, passed: false)
        }
        let end = loop.clock() + ReachabilityProbe.limit
        checksUnderWay += 1
        _ = ReachabilityProbe(
            on: loop, at: address, nonce: request.nonce, mapping: request.mapping, key: key
        ) { [weak self] outcome in
            guard let self else { return }
            checksUnderWay -= 1
            if case .passed = outcome { return answer(id, request.number, passed: true) }
            loop.schedule(after: end - loop.clock()) { [weak self] in
                self?.answer(id, request.number, passed: false)
            }
        }
    }

    private func place(of request: PeerMessage.CheckRequest) -> SocketAddress? {
        guard let host = HostAddress(request.host), self.host?.hasMetRelay(at: host) == true,
            dialJudge.allows(host, port: request.port, for: .publicPort)
        else { return nil }
        return SocketAddress(numeric: host.description, port: request.port)
    }

    private func answer(_ id: SessionID, _ number: UInt32, passed: Bool) {
        sessions[id]?.channel.send(RelayMessage.checkDone(number: number, passed: passed, detail: "").bytes)
    }
}
