public import PeerWire

/// Who has one of a bounded number of places when more come than there are: connections that have not yet said what
/// they are, callers of the API.
///
/// Addresses of one network cost nothing, so nobody is counted by address. When no place is left, the network that has
/// most gives one up: of the IPv4 /16 (IPv6 /32) with most places the /24 (/48) with most, and there the oldest that
/// has not said anything, or else the oldest. Whoever comes from a network that has few keeps its place until it is
/// done. A part is kept for those who are known here, such as members: others never fill it.
///
/// A newcomer costs a few steps while there is room, and else a look at each network and at the places of one.
public struct PlaceTable<ID: Hashable & Sendable>: Sendable {
    public enum Verdict: Hashable, Sendable {
        case admitted
        /// He has the place of somebody, who has lost it.
        case admittedInPlace(of: ID)
        case crowded
    }

    private struct Place: Sendable {
        let wide: Network
        let narrow: Network
        let isKnown: Bool
    }

    /// Those who have a place, by network, and within one by arrival.
    private struct Crowd: Sendable {
        var networks: [Network: (count: Int, within: [Network: [ID]])] = [:]
        var count = 0

        mutating func add(_ id: ID, _ place: Place) {
            networks[place.wide, default: (0, [:])].count += 1
            networks[place.wide]?.within[place.narrow, default: []].append(id)
            count += 1
        }

        mutating func remove(_ id: ID, _ place: Place) {
            guard let index = networks[place.wide]?.within[place.narrow]?.firstIndex(of: id) else { return }
            networks[place.wide]?.within[place.narrow]?.remove(at: index)
            if networks[place.wide]?.within[place.narrow]?.isEmpty == true {
                networks[place.wide]?.within[place.narrow] = nil
            }
            networks[place.wide]?.count -= 1
            if networks[place.wide]?.count == 0 { networks[place.wide] = nil }
            count -= 1
        }

        /// Whose place is worth least.
        func last(_ isSilent: (ID) -> Bool) -> ID? {
            let wide = networks.values.max { $0.count < $1.count }
            let narrow = wide?.within.values.max { $0.count < $1.count }
            return narrow?.first(where: isSilent) ?? narrow?.first
        }
    }

    /// Bits of an address that make the network which is counted first, and the one within it.
    static func widths(of address: HostAddress) -> (wide: Int, narrow: Int) { address.isIPv6 ? (32, 48) : (16, 24) }

    public let capacity: Int
    /// Of these, for those who are known.
    public let kept: Int
    private var places: [ID: Place] = [:]
    private var strangers = Crowd()
    private var known = Crowd()

    /// - Parameters:
    ///   - capacity: below 1 it is 1.
    ///   - kept: of these, for those who are known; never all of them.
    public init(capacity: Int, kept: Int) {
        self.capacity = max(1, capacity)
        self.kept = max(0, min(kept, self.capacity - 1))
    }

    public var count: Int { places.count }

    /// Somebody comes who wants a place.
    ///
    /// - Parameters:
    ///   - id: not there yet.
    ///   - isKnown: not just by its own word.
    ///   - isSilent: whether somebody who has a place has said nothing so far.
    public mutating func arrived(
        _ id: ID, from source: HostAddress, isKnown: Bool, isSilent: (ID) -> Bool
    ) -> Verdict {
        var displaced: ID?
        if places.count >= capacity || !isKnown && strangers.count >= capacity - kept {
            // The known ones take from strangers first, and these from them only where there is nobody else.
            guard let last = strangers.last(isSilent) ?? known.last(isSilent) else { return .crowded }
            left(last)
            displaced = last
        }
        let widths = Self.widths(of: source)
        let place = Place(
            wide: Network(of: source, prefixLength: widths.wide),
            narrow: Network(of: source, prefixLength: widths.narrow), isKnown: isKnown)
        places[id] = place
        if isKnown { known.add(id, place) } else { strangers.add(id, place) }
        return displaced.map { .admittedInPlace(of: $0) } ?? .admitted
    }

    /// A newcomer is through, or has gone; nothing where it has no place.
    public mutating func left(_ id: ID) {
        guard let place = places.removeValue(forKey: id) else { return }
        if place.isKnown { known.remove(id, place) } else { strangers.remove(id, place) }
    }
}
