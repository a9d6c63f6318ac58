package import PeerCore
package import PeerReactor
package import PeerWire

/// The ways of a peer's datagrams to its relays on one loop: one for each session whose relay takes them, made as soon
/// as some mapping is for datagrams. Where none get through, a data channel is dialled for their frames. Belongs to the
/// loop.
package final class DialledDatagrams {
    private final class Session {
        let terms: SessionTerms
        /// For as long as the session lasts: no number may be sealed twice with its keys.
        let sealed: SealedDatagrams
        let address: SocketAddress
        var channel: PeerDatagrams?
        var dial: (any Cancellable)?
        /// Of the next stream.
        var streamNumber: UInt64 = 1

        init(_ terms: SessionTerms, _ sealed: SealedDatagrams, address: SocketAddress) {
            self.terms = terms
            self.sealed = sealed
            self.address = address
        }

        func stop() {
            dial?.cancel()
            channel?.stop()
        }
    }

    private static let dialLimit = Instant.Span.seconds(5)
    /// After a stream that was not to be had, or ended.
    private static let pause = Instant.Span.seconds(1)

    private let loop: EventLoop
    private let carriers: Carriers
    private let routes: RouteTable
    private let targets: DatagramTargets
    private let report: @Sendable (PeerLane.Report) -> Void
    private var sessions: [SessionID: Session] = [:]

    package init(
        on loop: EventLoop, carriers: Carriers, routes: RouteTable, _ targets: DatagramTargets,
        report: @escaping @Sendable (PeerLane.Report) -> Void
    ) {
        self.loop = loop
        self.carriers = carriers
        self.routes = routes
        self.targets = targets
        self.report = report
    }

    // MARK: Sessions

    /// - Parameter address: of the relay's server port.
    package func begin(_ terms: SessionTerms, at address: SocketAddress) {
        guard let number = terms.datagrams, let secret = terms.datagramSecret else { return }
        let sealed = SealedDatagrams(
            secret, terms.protection.isPlain ? .plain : .encrypted, sending: .toRelay, channel: number, at: loop.now)
        sessions[terms.session] = Session(terms, sealed, address: address)
        routesChanged()
    }

    package func end(_ session: SessionID) { sessions.removeValue(forKey: session)?.stop() }

    /// The relay, which sends, has heard nothing for a while.
    package func missed(_ session: SessionID) { sessions[session]?.channel?.isMissed() }

    /// Mappings have come or gone.
    package func routesChanged() {
        guard routes.hasDatagrams else { return }
        for session in sessions.values where session.channel == nil { open(session) }
    }

    private func open(_ session: Session) {
        session.channel = try? PeerDatagrams(
            on: loop, to: session.address, session: session.terms.session, key: session.terms.key, session.sealed,
            frames: targets
        ) { [weak self, weak session] way in
            guard let self, let session else { return }
            report(.datagrams(session.terms.session, getThrough: way == .datagrams))
            dialStream(session)
        }
    }

    // MARK: Streams

    private func dialStream(_ session: Session) {
        guard sessions[session.terms.session] === session, session.dial == nil, session.channel?.lacksStream == true
        else { return }
        let group = ChannelGroup(session: session.terms.session, number: ChannelGroup.datagrams)
        let purpose = Purpose.channel(group, session.terms.protection, number: session.streamNumber)
        session.streamNumber += 1
        guard let carrier = carriers.carrier(for: purpose) else { return }
        let dial = Dial(
            to: [session.address], for: purpose, connectLimit: Self.dialLimit, proofLimit: Self.dialLimit)
        session.dial = carrier.dial(dial, on: loop) { [weak self, weak session] outcome in
            guard let self, let session else { return }
            session.dial = nil
            guard case .proven(let stream, let isRegistered, _, _) = consume outcome else { return dialLater(session) }
            session.channel?.use(stream, isRegistered: isRegistered) { [weak self, weak session] in
                if let session { self?.dialLater(session) }
            }
        }
    }

    private func dialLater(_ session: Session) {
        loop.schedule(after: Self.pause) { [weak self, weak session] in
            if let session { self?.dialStream(session) }
        }
    }

    // MARK: Mappings

    /// The target is told otherwise from now on who the mapping's visitors are.
    package func tellOtherwise(of mapping: MappingID) { targets.tellOtherwise(of: mapping) }

    /// The mapping is no more.
    package func abort(_ mapping: MappingID) { targets.abort(mapping) }

    package func traffic() -> [MappingID: DatagramTraffic] { targets.traffic() }
}
