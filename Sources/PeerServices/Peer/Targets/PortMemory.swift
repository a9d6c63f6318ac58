internal import PeerCore
internal import PeerStorage
internal import PeerWire

/// What relays gave to mappings, the last one last: each relay is asked for the same again, and the next start begins
/// with the relays of this one.
struct PortMemory {
    private var all: [AgreedPorts]

    init(_ all: [AgreedPorts]) { self.all = all }

    /// What a relay gave for a mapping.
    func ports(of mapping: MappingID, at relay: String) -> PortRange? {
        all.first { $0.mapping == mapping && $0.relay == relay }?.ports
    }

    /// What each relay gave for a mapping, also those that are away.
    func given(_ mapping: MappingID) -> [PortRange] { all.filter { $0.mapping == mapping }.map(\.ports) }

    /// What most relays gave for a mapping; of several the last.
    func usual(_ mapping: MappingID) -> PortRange? {
        let given = given(mapping)
        let counts = Dictionary(given.map { ($0, 1) }, uniquingKeysWith: +)
        return given.last { counts[$0] == counts.values.max() }
    }

    mutating func remember(_ agreed: AgreedPorts) {
        all.removeAll { $0.mapping == agreed.mapping && $0.relay == agreed.relay }
        all.append(agreed)
    }

    /// The addresses of the relays that gave ports last, the last one first.
    func lastRelays(_ count: Int) -> [String] {
        var relays: [String] = []
        for agreed in all.reversed() where !relays.contains(agreed.relay) {
            guard relays.count < count else { break }
            relays.append(agreed.relay)
        }
        return relays
    }

    /// At the next start the relays that were used last are the first choice, and which ones those are shows in the
    /// order of what they gave: the last comes last.
    ///
    /// - Parameter relays: those that are used now, the best first; of the others nothing is known here.
    /// - Returns: what is to be written anew, in this order; nothing where other relays than before are not among them.
    mutating func use(_ relays: [String]) -> [AgreedPorts] {
        let known = Set(all.map(\.relay))
        let used = relays.filter(known.contains)
        guard !used.isEmpty, Set(lastRelays(used.count)) != Set(used) else { return [] }
        var written: [AgreedPorts] = []
        for relay in used.reversed() {
            let rows = all.filter { $0.relay == relay }
            all.removeAll { $0.relay == relay }
            all += rows
            written += rows
        }
        return written
    }
}
