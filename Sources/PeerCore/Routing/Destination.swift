public import PeerWire

/// Where a call wants to go.
public enum Destination: Hashable, Sendable {
    /// A mapping that another node exposes here.
    case claim(Claim)
    /// A mapping of this node's own.
    case own(MappingID)

    /// What egresses tell destinations apart by.
    public enum Kind: Hashable, Sendable { case claim, own }

    public var kind: Kind {
        switch self {
        case .claim: .claim
        case .own: .own
        }
    }
}
