public import PeerWire

/// Which lanes of a relay serve a node key: its ports accept on one, session after session, and that lane deals the
/// visitors to a few others. What is said of one key's ports is so done in the order in which it was said. No I/O, no
/// clock.
public struct LanePlan: Sendable {
    /// Lanes that serve one key at most. More would cost a session idle channels and bring it little.
    public static let maximumGroups = 4
    /// Keys that took over from others, and whose lane is remembered.
    public static let maximumHeirs = 16_384

    private let lanes: Int
    /// Where a key that took over from another one stays, while this process runs.
    private var inherited: [NodeKey: Int] = [:]

    /// - Parameter lanes: of the relay, at least one.
    public init(lanes: Int) { self.lanes = max(1, lanes) }

    /// The lane on which the key's ports accept.
    public func first(of key: NodeKey) -> Int {
        inherited[key] ?? key.bytes.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff } % lanes
    }

    /// The lane with the key's ports, and then the others that its visitors are dealt to.
    public func all(of key: NodeKey) -> [Int] {
        let first = first(of: key)
        return (0..<min(lanes, Self.maximumGroups)).map { (first + $0) % lanes }
    }

    /// All that belongs to a key stays on one lane, also when the key is handed over. Where former keys of the same
    /// node still have ports on different lanes, those on the lane of the latest move with it, and the leases of the
    /// others run out.
    ///
    /// - Parameters:
    ///   - formerly: keys that became this one, the oldest first.
    ///   - hasPorts: whether ports are bound for a key.
    ///   - isHere: whether a key has a session.
    /// - Returns: the former keys whose ports may move to this key.
    public mutating func takeOver(
        from formerly: [NodeKey], by key: NodeKey, hasPorts: (NodeKey) -> Bool, isHere: (NodeKey) -> Bool
    ) -> [NodeKey] {
        guard let latest = formerly.last(where: hasPorts) else { return formerly }
        let lane = first(of: latest)
        if inherited[key] == nil, !hasPorts(key) {
            if inherited.count >= Self.maximumHeirs {
                inherited = inherited.filter { hasPorts($0.key) || isHere($0.key) }
            }
            inherited[key] = lane
        }
        return formerly.filter { first(of: $0) == first(of: key) || !hasPorts($0) }
    }
}
