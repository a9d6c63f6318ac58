internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Names that a relay tells visitors are looked up, when `ToldName` says so; nothing is dialled for that.
extension PeerService {
    private static let lookUpLimit = Instant.Span.seconds(3)

    /// Whether that name leads to where this node reaches the relay; `nil`: the check is made as soon as that is known.
    func isTold(_ check: Check, by relay: Relay, at address: HostAddress) -> Bool? {
        switch relay.toldName.ask(check.host, leadsTo: address, at: loop.clock()) {
        case .known(let leadsThere): return leadsThere
        case .lookUp: lookUp(check.host, toldBy: relay)
        case .wait: break
        }
        relay.checksAwaitingName.append(check)
        return nil
    }

    private func lookUp(_ name: String, toldBy relay: Relay) {
        var isOver = false
        let learnt: ([SocketAddress]) -> Void = { [weak self, weak relay] addresses in
            guard let self, let relay else { return }
            relay.toldName.learnt(name, addresses.compactMap { HostAddress(bytes: $0.hostBytes) })
            guard !isOver else { return }
            isOver = true
            let waiting = relay.checksAwaitingName
            relay.checksAwaitingName = []
            for waiting in waiting { check(waiting, at: relay) }
        }
        let bound = LoopBound(learnt, on: loop)
        resolver.resolve(Endpoint(host: name, port: relay.endpoint.port), on: loop) { result in
            bound.value((try? result.get()) ?? [])
        }
        loop.schedule(after: Self.lookUpLimit) { if !isOver { learnt([]) } }
    }
}
