internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerWire

/// What mappings are called in commands, and how they are named to people.
struct MappingNames {
    var wishes: [MappingWish]
    var exposed: [ExposedMapping]

    /// All that could be meant: by its name, by the id of the listings, by a port or range of ports at either end, or
    /// by an address at either end. A name is meant before anything else.
    func called(_ text: String) -> [MappingWish] {
        guard !text.isEmpty else { return [] }
        if let named = wishes.first(where: { $0.name == text }) { return [named] }
        let range = PortRange(text)
        let place = HostText.parts(text)
        return wishes.filter { wish in
            if wish.id.description == text || PeerService.text(wish.target) == text { return true }
            let opened = exposed.filter { $0.wish.id == wish.id }
            if let range, let local = Self.localPorts(wish), local.contains(range) { return true }
            if let range, opened.contains(where: { $0.ports?.contains(range) == true }) { return true }
            guard let (host, port) = place else { return false }
            if case .service(host, _) = wish.target, Self.localPorts(wish)?.ports.contains(port) == true { return true }
            return opened.contains { $0.host == host && $0.ports?.ports.contains(port) == true }
        }.sorted { $0.id.value < $1.id.value }
    }

    /// So that a user knows it again, and can write it in a command: its name, else its public address, else its id.
    func words(_ wish: MappingWish) -> String {
        guard wish.name.isEmpty else { return wish.name }
        return addresses(wish).first ?? wish.id.description
    }

    /// All of it: its name, where visitors find it, and what that leads to.
    func account(of wish: MappingWish) -> String {
        let first = PeerService.text(wish.target)
        let target = Endpoint(first)?.text(ofPorts: wish.ports.count) ?? first
        let way = addresses(wish).first.map { "\($0) -> \(target)" } ?? target
        return wish.name.isEmpty ? way : "\(wish.name) (\(way))"
    }

    /// Where visitors find it, once for each relay.
    func addresses(_ wish: MappingWish) -> [String] {
        exposed.compactMap { mapping in
            guard mapping.wish.id == wish.id, let host = mapping.host, let ports = mapping.ports else { return nil }
            return Endpoint(host: host, port: ports.first).text(ofPorts: ports.count)
        }
    }

    static func localPorts(_ wish: MappingWish) -> PortRange? {
        guard case .service(_, let port) = wish.target else { return nil }
        return PortRange(first: port, count: wish.ports.count)
    }

    /// Those that lead to the same service, or to a part of it.
    func siblings(of target: MappingWish.Target, count: Int) -> [MappingWish] {
        guard case .service(let host, let port) = target, let local = PortRange(first: port, count: count) else {
            return []
        }
        return wishes.filter { wish in
            guard case .service(host, _) = wish.target else { return false }
            return Self.localPorts(wish)?.overlaps(local) == true
        }.sorted { $0.id.value < $1.id.value }
    }
}
