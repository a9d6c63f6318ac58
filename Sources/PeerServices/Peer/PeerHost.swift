public import PeerCore
public import PeerReactor
public import PeerWire

/// The node that a peer is part of: what `PeerService` asks of it, and tells it. On the control loop.
public protocol PeerHost: AnyObject {
    /// Whether a token names the relay with that key.
    func isToken(_ text: String, for relay: NodeKey) -> Bool
    /// What is known of relays has changed in a session, and is to be written down.
    func save(_ knownRelays: KnownRelays, done: TableWriter.Done?)
    /// A session stands to a relay that the user named.
    func namedRelayStands(_ endpoint: Endpoint)
    /// Relays that may be chosen without being named, the best first; asked about once a second.
    var candidates: [RelayCandidate] { get }
    /// Of these addresses those of known relays that are no candidates now, and may be soon.
    func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook]
    /// A ping of a relay was answered.
    func measured(_ roundTrip: Instant.Span, of relay: NodeKey)
    /// A relay was chosen that nobody named.
    func relayChosen()
    /// What listings show has changed.
    func changed()
    /// Another process proved this node's key at a relay.
    func superseded()
}
