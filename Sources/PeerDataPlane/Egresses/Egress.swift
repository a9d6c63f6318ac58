package import PeerCore
package import PeerReactor

/// How calls leave a node: over a session's data channels, by a connection to a target. Belongs to its lane's loop.
package protocol Egress: AnyObject {
    /// What it is called, and which calls it takes.
    var offer: Router.Offer { get }

    /// Takes the call over. It becomes a visit of the lane, or waits here, or is given back by `Lane.pass` to the next
    /// way out, or by `Lane.refuse`.
    func take(_ call: consuming Call)

    /// Breaks off calls that were taken over and are no visits yet.
    func abort(_ isMeant: (Call.Terms) -> Bool)

    /// A visit that it began is over.
    func ended(_ visit: Visit, _ ending: Forwarder.Ending)

    /// Called four times a second at a relay.
    func timePassed()
}

extension Egress {
    package func abort(_ isMeant: (Call.Terms) -> Bool) {}
    package func ended(_ visit: Visit, _ ending: Forwarder.Ending) {}
    package func timePassed() {}
}
