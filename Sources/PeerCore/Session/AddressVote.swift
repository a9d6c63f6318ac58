public import PeerWire

/// By which host others reach this relay, where its user did not say (`--advertise`). No I/O.
///
/// Each member's session says how it was dialled, and that is its word: what one of them says never becomes what this
/// node says of itself. An address of this machine is shown by the session's own socket. Another one (a machine behind
/// a one-to-one NAT) counts when more than half of the networks that members came from name it, and two at the least.
public struct AddressVote: Sendable {
    private struct Voice: Sendable {
        var network: String
        var dialled: HostAddress?
        var local: HostAddress
    }

    /// Networks that are remembered; the one that was heard of longest ago goes.
    static let maximumVoices = 256

    /// The last one of each network, in the order in which they came.
    private var voices: [Voice] = []

    public init() {}

    /// A member's session was accepted.
    ///
    /// - Parameters:
    ///   - dialled: the host that it says it dialled; names are nobody's address here.
    ///   - local: this end of its connection.
    public mutating func heard(from source: HostAddress, dialled: String, local: HostAddress) {
        let voice = Voice(network: source.accountNetwork, dialled: HostAddress(dialled), local: local)
        voices.removeAll { $0.network == voice.network }
        voices.append(voice)
        if voices.count > Self.maximumVoices { voices.removeFirst() }
    }

    /// `nil` where nobody came yet, or all that came were on this machine and `likeliest` says more.
    ///
    /// - Parameter likeliest: the address by which others most likely reach this machine, as its interfaces show.
    public func host(likeliest: HostAddress?) -> HostAddress? {
        let told = Self.counted(voices.compactMap { $0.dialled == $0.local ? nil : $0.dialled })
        if let best = told.first, best.votes >= 2, best.votes * 2 > voices.count { return best.host }
        let own = Self.counted(voices.map(\.local))
        if let reachable = own.first(where: { DialPolicy.isPublic($0.host.bytes) }) { return reachable.host }
        if let likeliest, DialPolicy.isPublic(likeliest.bytes) { return likeliest }
        return own.first { !DialPolicy.isNeverDialled($0.host.bytes) }?.host ?? own.first?.host
    }

    /// The most first.
    private static func counted(_ hosts: [HostAddress]) -> [(host: HostAddress, votes: Int)] {
        let counts = Dictionary(hosts.map { ($0, 1) }, uniquingKeysWith: +)
        return counts.map { ($0.key, $0.value) }.sorted {
            ($1.votes, $0.host.description) < ($0.votes, $1.host.description)
        }
    }
}
