public import PeerWire

/// In which order a record names the public addresses of mappings that the user wants told: first where each is reached
/// best, then where else. So of many mappings at several relays each is told before one is told twice.
public enum AnnouncedMappings {
    /// - Parameter relays: what is told of each relay that is published, the best relay first.
    public static func inOrder(_ relays: [[(id: MappingID, mapping: NodeRecord.Mapping)]]) -> [NodeRecord.Mapping] {
        var rounds: [[NodeRecord.Mapping]] = []
        var told: [MappingID: Int] = [:]
        for (id, mapping) in relays.joined() {
            let round = told[id, default: 0]
            told[id] = round + 1
            if rounds.count == round { rounds.append([]) }
            rounds[round].append(mapping)
        }
        return Array(rounds.joined())
    }
}
