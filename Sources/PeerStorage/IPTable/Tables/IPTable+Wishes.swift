import GRDB
public import PeerCore
public import PeerWire

extension IPTable {
    /// Adds what the user wants exposed, or changes the wish of the same mapping, which keeps its place in the order.
    public func save(_ wish: MappingWish) throws(StorageError) {
        let (kind, host, port) = Self.columns(of: wish.target)
        let (ports, first) = Self.columns(of: wish.ports)
        try write { database in
            try database.execute(
                sql: """
                    INSERT INTO mapping_wish
                        (id, target_kind, host, port, protocols, wish_kind, first_port, count, allow, deny, tell,
                         name, on_demand, proxy_protocol)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (id) DO UPDATE SET
                        target_kind = excluded.target_kind, host = excluded.host, port = excluded.port,
                        protocols = excluded.protocols, wish_kind = excluded.wish_kind,
                        first_port = excluded.first_port, count = excluded.count,
                        allow = excluded.allow, deny = excluded.deny, tell = excluded.tell,
                        name = excluded.name, on_demand = excluded.on_demand,
                        proxy_protocol = excluded.proxy_protocol
                    """,
                arguments: [
                    wish.id.description, kind.rawValue, host, port, Int(wish.protocols.rawValue), ports.rawValue, first,
                    wish.ports.count, Self.text(of: wish.allow), Self.text(of: wish.deny), wish.announcedAs,
                    wish.name, wish.isOnDemand, Int(wish.proxyProtocol.rawValue),
                ])
        }
    }

    /// Forgets a wish, and the ports that relays gave to it.
    public func removeWish(_ id: MappingID) throws(StorageError) {
        try write { database in
            try database.execute(sql: "DELETE FROM mapping_wish WHERE id = ?", arguments: [id.description])
            try database.execute(sql: "DELETE FROM agreed_port WHERE mapping = ?", arguments: [id.description])
        }
    }

    /// All wishes, the one that was made first in front.
    public func wishes() throws(StorageError) -> [MappingWish] {
        try rows(of: "mapping_wish", "SELECT rowid, * FROM mapping_wish ORDER BY rowid", Self.wish)
    }

    private enum TargetKind: String { case serverPort = "server-port", service }
    private enum PortsKind: String { case any, exactly, preferably }

    private static func columns(of target: MappingWish.Target) -> (TargetKind, host: String?, port: Int?) {
        switch target {
        case .serverPort: (.serverPort, nil, nil)
        case .service(let host, let port): (.service, host, Int(port))
        }
    }

    private static func columns(of wish: PortWish) -> (PortsKind, first: Int?) {
        switch wish {
        case .any: (.any, nil)
        case .exactly(let range): (.exactly, Int(range.first))
        case .preferably(let range): (.preferably, Int(range.first))
        }
    }

    private static func wish(_ row: Row) throws -> MappingWish {
        // What an earlier version took for a name.
        let tell = PlainText.cleaned(try row.text("tell"))
        let name = try row.text("name")
        let isOnDemand: Int = try row.number("on_demand")
        var wish = MappingWish(
            id: try row.mapping("id"), target: try target(row), protocols: try row.protocols("protocols"),
            ports: try ports(row), allow: try row.networks("allow"), deny: try row.networks("deny"),
            name: try row.value(name.isEmpty || MappingWish.isName(name) ? name : nil, "name"))
        wish.announcedAs = try row.value(NodeRecord.isText(tell) ? tell : nil, "tell")
        wish.isOnDemand = isOnDemand != 0
        let version = ProxyProtocol(rawValue: try row.number("proxy_protocol"))
        wish.proxyProtocol = try row.value(
            version.flatMap { $0.covers(wish.protocols) ? $0 : nil }, "proxy_protocol")
        return wish
    }

    private static func text(of networks: [Network]) -> String {
        networks.map(\.description).joined(separator: " ")
    }

    private static func target(_ row: Row) throws -> MappingWish.Target {
        switch try row.value(TargetKind(rawValue: try row.text("target_kind")), "target_kind") {
        case .serverPort: .serverPort
        case .service: .service(host: try row.text("host"), port: try row.number("port"))
        }
    }

    private static func ports(_ row: Row) throws -> PortWish {
        switch try row.value(PortsKind(rawValue: try row.text("wish_kind")), "wish_kind") {
        case .any: .any(count: try row.number("count"))
        case .exactly: .exactly(try row.ports())
        case .preferably: .preferably(try row.ports())
        }
    }
}

extension Row {
    /// The columns `first_port` and `count`.
    func ports() throws -> PortRange {
        try value(PortRange(first: try number("first_port"), count: try number("count")), "count")
    }
}
