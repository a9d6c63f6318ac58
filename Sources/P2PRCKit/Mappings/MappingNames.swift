internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerWire

/// What mappings are called in commands, and how they are named to people.
struct MappingNames {
    var wishes: [MappingWish]
    var exposed: [ExposedMapping]

    /// All that could be meant: by its name, by the id of the listings, by a port or range of ports at either end, or
    /// by an address at either end. A name is meant before anything else. With `/udp` or `/tcp` behind a port or an
    /// address, those for that protocol.
    func called(_ text: String) -> [MappingWish] {
        guard !text.isEmpty else { return [] }
        if let named = wishes.first(where: { $0.name == text }) { return [named] }
        if let (place, transport) = Self.ofProtocol(text) {
            return atEnd(place).filter { $0.protocols.contains(transport) }
        }
        return atEnd(text)
    }

    private static func ofProtocol(_ text: String) -> (String, TransportProtocols)? {
        let lower = text.lowercased()
        for (ending, transport) in [("/udp", TransportProtocols.udp), ("/tcp", .tcp)] where lower.hasSuffix(ending) {
            return (String(text.dropLast(ending.count)), transport)
        }
        return nil
    }

    /// `HOST:PORT` or `HOST:LOW-HIGH`, as listings write it.
    private static func place(_ text: String) -> (host: String, ports: PortRange)? {
        guard let colon = text.lastIndex(of: ":"), let ports = PortRange(String(text[colon...].dropFirst())),
            let host = HostText.parts("\(text[...colon])\(ports.first)")?.host
        else { return nil }
        return (host, ports)
    }

    private func atEnd(_ text: String) -> [MappingWish] {
        let range = PortRange(text)
        let place = Self.place(text)
        return wishes.filter { wish in
            if wish.id.description == text || PeerService.text(wish.target) == text { return true }
            let opened = exposed.filter { $0.wish.id == wish.id }
            if let range, let local = Self.localPorts(wish), local.contains(range) { return true }
            if let range, opened.contains(where: { $0.ports?.contains(range) == true }) { return true }
            guard let (host, ports) = place else { return false }
            if case .service(host, _) = wish.target, Self.localPorts(wish)?.contains(ports) == true { return true }
            return opened.contains { $0.host == host && $0.ports?.contains(ports) == true }
        }.sorted { $0.id.value < $1.id.value }
    }

    /// So that a user knows it again, and can write it in a command, which means nothing else by it: its name, else its
    /// public address, with the protocol where the number is another mapping's too, else its id.
    func words(_ wish: MappingWish) -> String {
        guard wish.name.isEmpty else { return wish.name }
        let all = addresses(wish)
        return unmistakable(all + Self.withProtocol(all, wish), for: wish)
    }

    /// By which `unmap` finds it, as short as can be: its name, else its local port or address, else its id.
    func shortName(_ wish: MappingWish) -> String {
        guard wish.name.isEmpty else { return wish.name }
        guard case .service(let host, let port) = wish.target else { return wish.id.description }
        let ends = [port.description, Endpoint(host: host, port: port).description]
        return unmistakable(ends + Self.withProtocol(ends, wish), for: wish)
    }

    private func unmistakable(_ words: [String], for wish: MappingWish) -> String {
        words.first { called($0).map(\.id) == [wish.id] } ?? wish.id.description
    }

    private static func withProtocol(_ places: [String], _ wish: MappingWish) -> [String] {
        let each = wish.protocols.each
        guard each.count == 1 else { return [] }
        return places.map { "\($0)\(each == [.udp] ? "/udp" : "/tcp")" }
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
