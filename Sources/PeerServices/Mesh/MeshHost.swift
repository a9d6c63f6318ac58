internal import PeerCore
public import PeerWire

/// The node that a mesh is part of: what `MeshService` asks of it, and tells it. On the control loop.
public protocol MeshHost: AnyObject {
    /// The mesh keys that this node knows, its own first.
    var knownMeshKeys: [MeshKey] { get }
    /// Whether a session stands with that node, in either direction.
    func hasSession(with key: NodeKey) -> Bool
    /// Whether a node has a session here, at this relay.
    func isPeerHere(_ key: NodeKey) -> Bool
    /// Relays to which a session stands, and the numeric addresses that were dialled for them.
    var sessionAddresses: [(key: NodeKey, address: NodeAddress)] { get }
    /// The key that is pinned for a relay that was joined by hand, by its address.
    func pinnedKey(of address: String) -> NodeKey?
    /// Whether the user named that relay.
    func isNamed(_ key: NodeKey) -> Bool
    /// Relays that visitors were served at when the last process ended, for as long as that counts: host:port.
    var formerRelays: Set<String> { get }
    /// Relays with a session, the one in use first.
    var heldRelays: [NodeKey] { get }
    /// Of this machine, 0 to 1, for other nodes that ask.
    var load: Double { get }
    /// Whether nothing of visitors is on its way, so that a measurement may fill the line.
    func whetherIdle(_ answer: @escaping (Bool) -> Void)
    /// Mappings that the user wants others to know of, the most important first.
    var announced: [NodeRecord.Mapping] { get }
    /// What listings show has changed.
    func changed()
    /// Another process has this node's key, and began later.
    func superseded()
}
