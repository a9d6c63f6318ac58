public import PeerCore

/// Who may come to a node's server port, and how many at once.
public struct ArrivalPolicy: Sendable {
    /// By address; nobody else gets as much as a byte.
    public var peers: NetworkFilter
    public var sources: SourceGate.Limits
    /// Connections that have not yet said what they are, from all sources together.
    public var maximumUndecided: Int

    public static let usualUndecided = 1_024

    public init(
        peers: NetworkFilter = .everybody, sources: SourceGate.Limits = SourceGate.Limits(),
        maximumUndecided: Int = usualUndecided
    ) {
        self.peers = peers
        self.sources = sources
        self.maximumUndecided = maximumUndecided
    }
}
