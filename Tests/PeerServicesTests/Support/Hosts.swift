import PeerCore
import PeerReactor
import PeerServices
import PeerWire

/// A node around a relay that issues no tokens and has met nobody.
final class QuietHost: RelayHost {
    func judge(
        token: String, of key: NodeKey, formerly: [NodeKey], _ answer: @escaping (Grant?, String) -> Void
    ) { answer(nil, "this relay issues no tokens") }
    func hasMetRelay(at host: HostAddress) -> Bool { false }
    func changed() {}
}

/// A node around a peer, as a test wants it.
final class ScriptedHost: PeerHost {
    var candidates: [RelayCandidate] = []
    private(set) var isSuperseded = false
    private(set) var stands: [Endpoint] = []

    func isToken(_ text: String, for relay: NodeKey) -> Bool { false }
    func save(_ knownRelays: KnownRelays, done: TableWriter.Done?) { done?(nil) }
    func namedRelayStands(_ endpoint: Endpoint) { stands.append(endpoint) }
    func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook] { [:] }
    func measured(_ roundTrip: Instant.Span, of relay: NodeKey) {}
    func relayChosen() {}
    func changed() {}
    func superseded() { isSuperseded = true }
}
