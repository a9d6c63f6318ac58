internal import PeerMesh
internal import PeerReactor
internal import PeerWire

/// Names that a relay tells visitors: looked up, to see whether they lead to where this node reaches the relay. Nothing
/// is dialled for that. At most one look-up is made of a relay's word in `lookUpPause`, whatever it says.
extension PeerService {
    static let lookUpPause = Instant.Span.seconds(60)
    private static let lookUpLimit = Instant.Span.seconds(3)

    struct ToldName {
        let name: String
        let lookedUp: Instant
        /// `nil`: it is not known yet.
        var addresses: [HostAddress]?
        /// Checks that wait for it.
        var waiting: [Check] = []

        func leads(_ name: String, to address: HostAddress?) -> Bool {
            guard name == self.name, let address, let addresses else { return false }
            return addresses.contains(address)
        }
    }

    /// Whether this check is made as soon as a name is looked up.
    func waitsForName(_ check: Check, at relay: Relay) -> Bool {
        guard HostAddress(check.host) == nil, check.host != relay.endpoint.host else { return false }
        let now = EventLoop.clock()
        if let told = relay.toldName, now - told.lookedUp < Self.lookUpPause {
            guard told.name == check.host, told.addresses == nil else { return false }
            relay.toldName?.waiting.append(check)
            return true
        }
        lookUp(check, at: relay, now)
        return true
    }

    private func lookUp(_ check: Check, at relay: Relay, _ now: Instant) {
        // Those of an earlier name are over: its look-up has its own limit.
        relay.toldName = ToldName(name: check.host, lookedUp: now, waiting: [check])
        let session = relay.terms?.session
        let learnt: ([SocketAddress]) -> Void = { [weak self, weak relay] addresses in
            guard let self, let relay, var told = relay.toldName, told.lookedUp == now, told.addresses == nil else { return }
            let waiting = told.waiting
            told.waiting = []
            told.addresses = addresses.compactMap { HostAddress(bytes: $0.hostBytes) }
            relay.toldName = told
            guard relay.terms?.session == session else { return }
            for check in waiting { self.check(check, at: relay) }
        }
        let bound = LoopBound(learnt, on: loop)
        resolver.resolve(Endpoint(host: check.host, port: check.port), on: loop) { result in
            bound.value((try? result.get()) ?? [])
        }
        loop.schedule(after: Self.lookUpLimit) { learnt([]) }
    }
}
