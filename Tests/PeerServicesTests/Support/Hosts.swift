import PeerCore
import PeerReactor
import PeerServices
import PeerWire

/// A node around a relay that has met every other one, unless it is told not to, and takes the tokens that a test says.
final class RelayNode: RelayHost {
    /// What each token allows.
    var grants: [String: Grant] = [:]
    /// Whether it looks at ports of other relays for its peers.
    var looks = true

    func judge(
        token: String, of key: NodeKey, formerly: [NodeKey], _ answer: @escaping (Grant?, String) -> Void
    ) { answer(grants[token], "this relay did not issue that token") }
    func hasMetRelay(at host: HostAddress) -> Bool { looks }
    func changed() {}
}

/// A node around a peer, as a test wants it.
final class PeerNode: PeerHost {
    var candidates: [RelayCandidate] = []
    private(set) var isSuperseded = false
    private(set) var stands: [Endpoint] = []

    /// Tests name no relay in their tokens.
    func isToken(_ text: String, for relay: NodeKey) -> Bool { true }
    func save(_ knownRelays: KnownRelays, done: TableWriter.Done?) { done?(nil) }
    func namedRelayStands(_ endpoint: Endpoint) { stands.append(endpoint) }
    func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook] { [:] }
    func measured(_ roundTrip: Instant.Span, of relay: NodeKey) {}
    func relayChosen() {}
    func changed() {}
    func superseded() { isSuperseded = true }
}
