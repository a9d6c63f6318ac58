public import PeerWire

/// What stands between this node and others, out of what they have seen of it: for `p2prc netcheck`. In the words of
/// RFC 4787, section 4 and 5, as far as answers over TCP can tell.
public struct NATKind: Hashable, Sendable {
    /// One connection to another node, and what it saw.
    public struct Observation: Hashable, Sendable {
        public var witness: NodeKey
        /// Where the connection went.
        public var remote: NodeAddress
        /// This end of it, as this machine sees it, and as the witness does.
        public var local: NodeAddress
        public var seen: NodeAddress

        public init(witness: NodeKey, remote: NodeAddress, local: NodeAddress, seen: NodeAddress) {
            self.witness = witness
            self.remote = remote
            self.local = local
            self.seen = seen
        }
    }

    public enum Mapping: String, Hashable, Sendable {
        /// Others see the address that this machine has.
        case none
        /// One local port looks the same to all: others can be told where to send.
        case endpointIndependent = "endpoint-independent"
        /// One local port looks different to each.
        case endpointDependent = "endpoint-dependent"
        /// There is a NAT; fewer than two nodes have seen one local port.
        case unknown
    }

    public enum Filtering: String, Hashable, Sendable {
        /// Who was never talked to gets in.
        case none
        /// He does not.
        case filtered
        case unknown
    }

    public var mapping: Mapping
    public var filtering: Filtering
    /// Whether ports look to others as they are here; `nil` without an observation behind a NAT.
    public var keepsPorts: Bool?
    /// Addresses that others see: several where a NAT has several ways out.
    public var hosts: [HostAddress]
    /// So many nodes were asked.
    public var witnesses: Int

    /// - Parameter standing: what dial-backs have shown (`Reachability`).
    public static func judge(_ observations: [Observation], standing: Reachability.Standing) -> NATKind {
        let translated = observations.filter { $0.seen.host != $0.local.host || $0.seen.port != $0.local.port }
        let hosts = Set(observations.map(\.seen.host)).sorted { $0.description < $1.description }
        let filtering: Filtering =
            switch standing {
            case .unknown: .unknown
            case .reachable: .none
            case .notReachable: .filtered
            }
        return NATKind(
            mapping: observations.isEmpty ? .unknown : translated.isEmpty ? .none : mapping(of: translated),
            filtering: filtering,
            keepsPorts: translated.isEmpty ? nil : translated.allSatisfy { $0.seen.port == $0.local.port },
            hosts: hosts, witnesses: Set(observations.map(\.witness)).count)
    }

    /// Compares what different nodes at different hosts saw of one local port.
    private static func mapping(of observations: [Observation]) -> Mapping {
        var isCompared = false
        for group in Dictionary(grouping: observations, by: \.local).values {
            guard Set(group.map(\.witness)).count > 1, Set(group.map(\.remote.host)).count > 1 else { continue }
            isCompared = true
            if Set(group.map(\.seen)).count > 1 { return .endpointDependent }
        }
        return isCompared ? .endpointIndependent : .unknown
    }
}
