public import PeerCore
public import PeerDataPlane
public import PeerReactor
internal import PeerStorage
public import PeerWire

/// What listings are told of a peer's mappings and relays.
extension PeerService {
    /// - Parameter traffic: as it was counted just now.
    public func mappings(_ traffic: [MappingID: TrafficCounters]? = nil) -> [ExposedMapping] {
        var rows: [ExposedMapping] = []
        for relay in order(relays) {
            let silence = silence(of: relay)
            // What the user asked for, and then what this node exposes by itself.
            for agreement in relay.agreements.values.sorted(by: {
                ($0.wish.target == .serverPort ? 1 : 0, $0.wish.id.value)
                    < ($1.wish.target == .serverPort ? 1 : 0, $1.wish.id.value)
            }) {
                var refusal: RefusalReason?
                if case .refused(let reason, _, _) = agreement.stage { refusal = reason }
                var reason = agreement.reason
                if agreement.stage == .offline, let explanation = relay.reason { reason = "no session: \(explanation)" }
                if let refusal, let detail = reason { reason = refusal.advised(detail) }
                if let silence { reason = silence }
                rows.append(
                    ExposedMapping(
                        wish: agreement.wish, targetText: Self.text(agreement.wish.target), relay: relay.endpoint,
                        relayName: relay.name ?? relay.endpoint.host,
                        state: silence == nil ? agreement.state : .offline, reason: reason,
                        standings: silence == nil ? agreement.standings : [],
                        services: book.services(of: agreement.wish.id) ?? ServiceStates(), refusal: refusal,
                        host: agreement.host ?? relay.endpoint.host, ports: agreement.ports,
                        relayPorts: relay.terms?.ports, closed: relay.checks.closed[agreement.wish.id],
                        receipt: relay.receipts.contains(agreement.wish.id)
                            ? relay.key.map { ReceiptFolder.place(relay: $0, mapping: agreement.wish.id) } : nil,
                        isPlain: relay.terms?.protection.isPlain, takesStream: relay.datagramsTakeStream,
                        failures: relay.connection.failures,
                        isShort: shortage.isThere, isNamed: relay.isNamed,
                        traffic: Self.counters(of: agreement.wish, traffic)))
            }
        }
        return rows
    }

    private static func counters(of wish: MappingWish, _ traffic: [MappingID: TrafficCounters]?) -> TrafficCounters {
        guard let traffic else { return TrafficCounters() }
        var counters = traffic[wish.id] ?? TrafficCounters()
        // Nobody came yet.
        if wish.protocols.contains(.udp), counters.datagrams == nil { counters.datagrams = DatagramTraffic() }
        return counters
    }

    /// What this node's record tells of its mappings: those that the user wants told, where they are published and were
    /// seen to work.
    public var told: [NodeRecord.Mapping] {
        let named = book.all.filter { !$0.announcedAs.isEmpty }.sorted { $0.id.value < $1.id.value }
        guard !named.isEmpty else { return [] }
        let published = publishedRelays
        return AnnouncedMappings.inOrder(
            order(relays).filter { published.contains($0.endpoint.description) }.map { relay in
                named.compactMap { wish in
                    // One entry for a mapping: of several ranges the longest, and of those the first.
                    guard let agreement = relay.agreements[wish.id], let host = agreement.host,
                        let ports = agreement.verifiedPorts.max(by: { ($0.count, $1.first) < ($1.count, $0.first) })
                    else { return nil }
                    return (
                        wish.id,
                        NodeRecord.Mapping(name: wish.announcedAs, protocols: wish.protocols, host: host, ports: ports)
                    )
                }
            })
    }

    public var relayStandings: [RelayStanding] {
        order(relays).map { relay in
            let isUp = relay.isEstablished && silence(of: relay) == nil
            return RelayStanding(
                endpoint: relay.endpoint, name: relay.name, key: relay.key,
                state: isUp ? .connected : .connecting,
                reason: isUp ? nil : silence(of: relay) ?? relay.reason, latency: relay.latency.best,
                lastHeard: relay.connection.lastHeard, isPlain: relay.terms?.protection.isPlain)
        }
    }

    /// Relays whose session stands, and where it was dialled.
    public var sessionAddresses: [(key: NodeKey, address: NodeAddress)] {
        relays.compactMap { relay in
            guard let key = relay.terms?.key, let remote = relay.remoteAddress,
                let host = HostAddress(bytes: remote.hostBytes),
                let address = NodeAddress(host: host, port: remote.port)
            else { return nil }
            return (key, address)
        }
    }

    /// Asks the lanes for their counters and answers on the control loop, with those of datagrams on these loops, a
    /// relay's among them.
    public func report(_ answer: @escaping @Sendable ([ExposedMapping], DatagramCounts) -> Void) {
        let bound = LoopBound(self, on: loop)
        lanes.gather(on: loop, { $0.traffic() }) { traffic in
            bound.value.lanes.countDatagrams(on: bound.value.loop) { answer(bound.value.mappings(traffic), $0) }
        }
    }

    /// A target for people, as relays are told it.
    public static func text(_ target: MappingWish.Target) -> String {
        switch target {
        case .serverPort: HostText.serverPort
        case .service(let host, let port): Endpoint(host: host, port: port).description
        }
    }
}

extension RefusalReason {
    /// What a relay says of a refusal, and what can be done about one that lasts. Others are known by the command that
    /// asked.
    func advised(_ detail: String) -> String {
        guard self == .protocolNotSupported, !detail.contains(";") else { return detail }
        return "\(detail); use a relay that does, or have its owner update p2prc and start it without --no-udp"
    }
}
