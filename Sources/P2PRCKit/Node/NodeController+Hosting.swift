internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerTokens
internal import PeerWire

// What the services of a node ask of it and tell it. They know nothing of each other: what one needs of another goes
// through here.

extension NodeController: MeshHost {
    /// Keys of this node's own mesh, and of those that it joined.
    var knownMeshKeys: [MeshKey] {
        var all = keys.meshKeys
        for key in peer.knownRelays.relays.sorted(by: { $0.key < $1.key }).compactMap(\.value.meshKey)
        where !all.contains(key) { all.append(key) }
        return all
    }

    func isPeerHere(_ key: NodeKey) -> Bool { relay?.hasSession(of: key) == true }
    var sessionAddresses: [(key: NodeKey, address: NodeAddress)] { peer.sessionAddresses }
    func pinnedKey(of address: String) -> NodeKey? { peer.knownRelays[address].key }
    func isNamed(_ key: NodeKey) -> Bool { peer.isNamed(key) }
    var formerRelays: Set<String> { peer.formerRelays }
    var heldRelays: [NodeKey] { peer.relayStandings.filter { $0.state == .connected }.compactMap(\.key) }
    var load: Double { meter.load }
    var announced: [NodeRecord.Mapping] { peer.told }
}

extension NodeController: MemberJudge {}

extension NodeController: PeerHost {
    func isToken(_ text: String, for relay: NodeKey) -> Bool { (try? UnverifiedToken(text))?.relay == relay }
    func save(_ knownRelays: KnownRelays, done: TableWriter.Done?) {
        membershipSaver.save(lasting(knownRelays), done: done)
    }

    func namedRelayStands(_ relay: Endpoint) {
        if joins.untried.remove(relay) != nil { keep(relay) }
        if joins.untaught.removeValue(forKey: relay) != nil { peer.change(relay) { _ in } }
    }

    var candidates: [RelayCandidate] { mesh?.candidates ?? [] }
    func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook] { mesh?.outlooks(addresses) ?? [:] }
    func measured(_ roundTrip: Instant.Span, of relay: NodeKey) { mesh?.measured(roundTrip, of: relay) }
    func relayChosen() { exposeServerPort() }
}

extension NodeController: RelayHost {
    func judge(
        token: String, of key: NodeKey, formerly: [NodeKey], _ answer: @escaping (Grant?, String) -> Void
    ) {
        let answer = LoopBound(answer, on: loop)
        Task { [tokens, loop, log] in
            let (grant, reason) = await tokens.grant(for: token, from: key, formerly: formerly, log)
            loop.execute { answer.value(grant, reason) }
        }
    }

    func hasMetRelay(at host: HostAddress) -> Bool {
        mesh?.hasMetRelay(at: host) == true || peer.sessionAddresses.contains { $0.address.host == host }
    }
}
