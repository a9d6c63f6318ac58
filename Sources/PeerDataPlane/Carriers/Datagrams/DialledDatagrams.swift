package import PeerCore
package import PeerReactor
package import PeerWire

/// The ways of a peer's datagrams to its relays on one loop: one for each session whose relay takes them, made as soon
/// as some mapping is for datagrams. Belongs to the loop.
package final class DialledDatagrams {
    private struct Session {
        let terms: SessionTerms
        let number: UInt32
        let secret: DatagramSecret
        let address: SocketAddress
        var channel: PeerDatagrams?
    }

    private let loop: EventLoop
    private let routes: RouteTable
    private let targets: DatagramTargets
    private var sessions: [SessionID: Session] = [:]

    package init(on loop: EventLoop, routes: RouteTable, _ targets: DatagramTargets) {
        self.loop = loop
        self.routes = routes
        self.targets = targets
    }

    // MARK: Sessions

    /// - Parameter address: of the relay's server port.
    package func begin(_ terms: SessionTerms, at address: SocketAddress) {
        guard let number = terms.datagrams, let secret = terms.datagramSecret else { return }
        sessions[terms.session] = Session(terms: terms, number: number, secret: secret, address: address)
        routesChanged()
    }

    package func end(_ session: SessionID) { sessions.removeValue(forKey: session)?.channel?.stop() }

    /// The relay, which sends, has heard nothing for a while.
    package func missed(_ session: SessionID) { sessions[session]?.channel?.isMissed() }

    /// Mappings have come or gone.
    package func routesChanged() {
        guard routes.hasDatagrams else { return }
        for (id, session) in sessions where session.channel == nil { sessions[id]?.channel = open(session) }
    }

    private func open(_ session: Session) -> PeerDatagrams? {
        let sealed = SealedDatagrams(
            session.secret, session.terms.protection.isPlain ? .plain : .encrypted, sending: .toRelay,
            channel: session.number, at: loop.now)
        return try? PeerDatagrams(
            on: loop, to: session.address, session: session.terms.session, key: session.terms.key, sealed,
            frames: targets, changed: { _ in })
    }

    // MARK: Mappings

    /// The mapping is no more.
    package func abort(_ mapping: MappingID) { targets.abort(mapping) }

    package func traffic() -> [MappingID: DatagramTraffic] { targets.traffic() }
}
