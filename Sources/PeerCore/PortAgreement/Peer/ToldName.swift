public import PeerWire

/// The name that a relay tells visitors, and whether it leads to where this node reaches that relay. At most one
/// look-up is made of a relay's word in `pause`, whatever it says. No I/O, no clock.
public struct ToldName: Sendable {
    public enum Answer: Hashable, Sendable {
        /// Look it up, tell `learnt`, and ask again then.
        case lookUp
        /// Ask again when that is done.
        case wait
        case known(leadsThere: Bool)
    }

    public static let pause = Instant.Span.seconds(60)

    private var name: String?
    private var lookedUp = Instant.zero
    /// `nil`: it is being looked up.
    private var addresses: [HostAddress]?

    public init() {}

    /// - Parameter address: where this node reaches the relay.
    public mutating func ask(_ name: String, leadsTo address: HostAddress, at now: Instant) -> Answer {
        if self.name != nil, addresses == nil || now - lookedUp < Self.pause {
            guard self.name == name else { return .known(leadsThere: false) }
            return addresses.map { .known(leadsThere: $0.contains(address)) } ?? .wait
        }
        (self.name, lookedUp, addresses) = (name, now, nil)
        return .lookUp
    }

    /// Where a name leads; nowhere, for one of which nothing was heard in time. A later word counts in its place.
    public mutating func learnt(_ name: String, _ addresses: [HostAddress]) {
        if name == self.name { self.addresses = addresses }
    }
}
