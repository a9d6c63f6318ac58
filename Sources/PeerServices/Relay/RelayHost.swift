public import PeerCore
public import PeerWire

/// The node that a relay is part of: what `RelayService` asks of it, and tells it. On the control loop.
public protocol RelayHost: AnyObject {
    /// Judges a token for the key that shows it, and for the keys that were handed over to that one.
    ///
    /// - Parameter answer: called once, with the grant, or with the reason the token is rejected.
    func judge(
        token: String, of key: NodeKey, formerly: [NodeKey], _ answer: @escaping (Grant?, String) -> Void)
    /// Whether this node has itself met a relay at that host.
    func hasMetRelay(at host: HostAddress) -> Bool
    /// What listings show has changed.
    func changed()
}
