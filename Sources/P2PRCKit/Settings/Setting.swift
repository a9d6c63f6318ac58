internal import PeerCore
internal import PeerTOML
internal import PeerWire

/// A key of `config.toml`, said once: the reader of the file, the help of the flag that sets the same,
/// docs/files.md, docs/config.example.toml and json/schema/config.schema.json are made of it.
struct Setting: Sendable {
    /// With points, as in the file.
    let name: String
    /// The flag that wins over it, with its hyphens.
    let flag: String?
    /// Whether only a relay looks at it.
    private(set) var isForRelay = false
    /// What it sets, after a colon; what a flag's help has no room for stands behind a semicolon.
    let help: String
    /// What may be written.
    let words: String
    /// What holds where it is left out, for people.
    let standard: String
    /// The same as TOML; `nil` where it is no fixed value.
    let standardText: String?
    /// A value as TOML.
    let example: String
    let schema: String
    let isToggle: Bool
    let isList: Bool
    let take: @Sendable (TOMLValue, inout NodeConfig) throws(ConfigRefusal) -> Void

    /// - Parameters:
    ///   - place: where it is kept; what stands there at first is its default.
    ///   - standard: the default in words, where it is none or says too little.
    ///   - example: as TOML, where the default is none.
    init<Value>(
        _ name: String, _ place: any WritableKeyPath<NodeConfig, Value> & Sendable, _ kind: ConfigKind<Value>,
        standard: String? = nil, example: String? = nil, flag: String? = nil, _ help: String
    ) {
        self.name = name
        self.flag = flag
        self.help = help
        words = kind.words
        standardText = kind.write(NodeConfig()[keyPath: place])
        self.standard = standard ?? SettingText.bare(standardText ?? "nothing")
        self.example = example ?? standardText ?? "\"\""
        schema = kind.schema
        isToggle = kind.form == .toggle
        isList = kind.form == .list
        take = { (found, config) throws(ConfigRefusal) in config[keyPath: place] = try kind.read(found) }
    }

    /// One that may be left out without a default.
    init<Value>(
        _ name: String, _ place: any WritableKeyPath<NodeConfig, Value?> & Sendable, _ kind: ConfigKind<Value>,
        standard: String? = nil, example: String? = nil, flag: String? = nil, _ help: String
    ) {
        self.init(
            name, place, kind.optional, standard: standard, example: example, flag: flag, help)
    }

    /// Only a relay looks at it.
    private func forRelay() -> Setting {
        var setting = self
        setting.isForRelay = true
        return setting
    }

    /// The table that it stands in; `nil` at the top of the file.
    var section: String? { name.contains(".") ? name.split(separator: ".").first.map(String.init) : nil }
    /// Its name in that table.
    var key: String { name.split(separator: ".").last.map(String.init) ?? name }
}

extension Setting {
    static let all: [Setting] = [
        Setting(
            "name", \.name, .text, standard: "the machine's name", example: "\"office\"",
            "what the node calls itself; characters that do not show are left out"),
        Setting("server_port", \.serverPort, .port, flag: "--server-port", "the port for other nodes"),
        Setting(
            "bind", \.bind, .text.called("numeric address"), standard: "all, IPv4 and IPv6",
            example: "\"192.168.1.5\"", flag: "--bind", "listen on this address only"),
        Setting(
            "advertise", \.advertise, .text.called("name or address"),
            standard: "an address of this machine, or another one that members of most networks dial",
            example: "\"relay.example.org\"", flag: "--advertise", "the host that visitors are told"
        ).forRelay(),
        Setting(
            "ports", \.ports, .ports, standard: "20000 up to below the kernel's ephemeral range",
            example: "\"20000-29999\"", flag: "--ports",
            "public ports to give out; who wants any port gets one of the widest range"
        ).forRelay(),
        Setting(
            "open", \.isOpen, .flag, flag: "--open", "anybody may join, without a key"
        ).forRelay(),
        Setting(
            "plain", \.isPlain, .flag, flag: "--plain",
            "data channels go unencrypted where the other end wants that too"),
        Setting(
            "udp", \.carriesDatagrams, .flag, flag: "--no-udp",
            "public ports for UDP are given out, too; `--no-udp`: for TCP alone"
        ).forRelay(),
        Setting(
            "p2prc_compat", \.p2prcCompat, .text.called("\"ADDR:PORT\", numeric"), standard: "nowhere",
            example: "\"0.0.0.0:8078\"",
            "P2PRC nodes may exchange tables with this one there, over plain HTTP ([p2prc.md](p2prc.md))"),
        Setting(
            "relays", \.sessions, .number(0...8),
            "sessions to hold at once, at relays that the node chooses where you name fewer; 0: only at those that you "
                + "name"),
        Setting(
            "hook", \.hook, .text, example: "\"/usr/local/bin/update-dns\"",
            "a command line for `/bin/sh`, run when the public addresses have changed (\"Hook\")"),
        // A year at most, so that the number of seconds fits the protocol.
        Setting(
            "lease_hours", \.leaseHours, .number(1...8_760), "how long a port stays a node's after its last session"
        ).forRelay(),
        Setting(
            "visitors.allow", \.visitorsAllowed, .networks, standard: "everybody", flag: "--allow-visitors",
            "who may use public ports"
        ).forRelay(),
        Setting(
            "visitors.deny", \.visitorsDenied, .networks, standard: "nobody", flag: "--deny-visitors",
            "who may not use public ports; wins"
        ).forRelay(),
        Setting(
            "peers.allow", \.peersAllowed, .networks, standard: "everybody", flag: "--allow-peers",
            "which nodes may come"
        ).forRelay(),
        Setting(
            "peers.deny", \.peersDenied, .networks, standard: "nobody", flag: "--deny-peers",
            "which nodes may not come; wins"
        ).forRelay(),
        Setting(
            "limits.keys", \.limits.keys, .count, "nodes of one membership with a session at once"
        ).forRelay(),
        Setting(
            "limits.leases", \.limits.leases, .count, "ports leased to one membership"
        ).forRelay(),
        Setting(
            "limits.mappings", \.limits.mappings, .count, "live mappings of one membership"
        ).forRelay(),
        Setting(
            "limits.connections", \.limits.connections, .count, standard: "no limit", example: "10000",
            "visitors of one membership at once"
        ).forRelay(),
        Setting(
            "limits.connections_per_second", \.limits.connectionsPerSecond, .count, standard: "no limit",
            example: "1000", "new visitors of one membership a second"
        ).forRelay(),
        Setting(
            "limits.bytes_per_second", \.limits.bytesPerSecond, .bytes(from: 1), standard: "no limit",
            example: "\"10MB\"", "for one membership, in each direction, with a burst of one second"
        ).forRelay(),
        Setting(
            "limits.datagrams_per_second", \.limits.datagramsPerSecond, .count, standard: "no limit",
            example: "50000", "for one membership, in each direction, with a burst of one second"
        ).forRelay(),
        Setting(
            "datagrams.flows", \.datagrams.flows, .number(1...1_048_575),
            "flows of one mapping for UDP, as far as descriptors go; the one idle longest gives way"
        ),
        Setting(
            "datagrams.flows_per_source", \.datagrams.flowsPerSource, .count, standard: "no limit", example: "1024",
            "of those, flows of one address"
        ).forRelay(),
        Setting(
            "datagrams.idle_unanswered", \.datagrams.idleUnanswered, .count,
            "seconds after which a silent flow ends that the service never answered"
        ),
        Setting(
            "datagrams.idle", \.datagrams.idle, .count, "seconds after which a silent flow ends that it answered"
        ),
        Setting(
            "datagrams.per_second", \.datagrams.mapping.datagramsPerSecond, .count, standard: "no limit",
            example: "20000", "of one mapping, in each direction, with a burst of one second"
        ).forRelay(),
        Setting(
            "datagrams.bytes_per_second", \.datagrams.mapping.bytesPerSecond, .bytes(from: 1), standard: "no limit",
            example: "\"20MB\"", "the same in bytes"
        ).forRelay(),
        Setting(
            "datagrams.new_flows_per_second", \.datagrams.mapping.newFlowsPerSecond, .count, standard: "no limit",
            example: "2000", "of one mapping"
        ).forRelay(),
        Setting(
            "datagrams.source_per_second", \.datagrams.source.datagramsPerSecond, .count, standard: "no limit",
            example: "5000", "of one address at one mapping, in each direction, with a burst of one second"
        ).forRelay(),
        Setting(
            "datagrams.source_bytes_per_second", \.datagrams.source.bytesPerSecond, .bytes(from: 1),
            standard: "no limit", example: "\"5MB\"", "the same in bytes"
        ).forRelay(),
        Setting(
            "datagrams.source_new_flows_per_second", \.datagrams.source.newFlowsPerSecond, .count,
            standard: "no limit", example: "200", "of one address at one mapping"
        ).forRelay(),
        Setting(
            "sources.handshakes_per_second", \.sources.handshakesPerSecond, .count,
            "handshakes from one address (IPv6: /64) that has no session"
        ).forRelay(),
        Setting(
            "sources.half_open", \.sources.halfOpen, .count,
            "unfinished handshakes of one address; four times as many where it has a session"
        ).forRelay(),
        Setting(
            "reserve.descriptors", \.reserve.descriptors, .number(0...Int(Int32.max)),
            "open files that visitors never use up, at most half of what the system allows"
        ).forRelay(),
        Setting(
            "reserve.buffers", \.reserve.buffers, .bytes(from: 0), "bytes of buffers that visitors never use up"
        ).forRelay(),
        Setting(
            "mesh.dial", \.meshDial, .networks, standard: "none",
            "networks that are dialled on others' word, besides public addresses and networks that this machine is "
                + "part of; addresses of this machine itself only where they are named alone (/32, /128)"),
    ]

    /// The tables of the file in their order, with what is true of all in them.
    static let sections: [(name: String, remark: String)] = [
        ("visitors", "Relay: who may use public ports. Networks as CIDR; deny wins, and an empty allow is everybody."),
        ("peers", "Relay: which nodes may come to the server port."),
        (
            "limits",
            "Relay: what one membership has at most. A membership is the mesh key from one network (IPv4 /24, IPv6 "
                + "/48); a token brings its own limits. A key that is left out is no limit, or the default."
        ),
        (
            "datagrams",
            "What the visitors of one mapping for UDP have at most, and one address of them (IPv6: /64). "
                + "Datagrams above that are dropped. A node looks at `flows`, `idle_unanswered` and `idle` for the "
                + "mappings of its own, and a relay at all of them for those of others."
        ),
        ("sources", "Relay: handshakes from one address (IPv6: /64) that has no session yet."),
        ("reserve", "Relay: what visitors never use up, so that sessions always can."),
        (
            "mesh",
            "What is dialled on other nodes' word. Needed where nodes reach each other by private addresses over a "
                + "router."
        ),
    ]
}

extension NodeConfig {
    fileprivate var visitorsAllowed: [Network] {
        get { visitors.allow }
        set { visitors = NetworkFilter(allow: newValue, deny: visitors.deny) }
    }
    fileprivate var visitorsDenied: [Network] {
        get { visitors.deny }
        set { visitors = NetworkFilter(allow: visitors.allow, deny: newValue) }
    }
    fileprivate var peersAllowed: [Network] {
        get { peers.allow }
        set { peers = NetworkFilter(allow: newValue, deny: peers.deny) }
    }
    fileprivate var peersDenied: [Network] {
        get { peers.deny }
        set { peers = NetworkFilter(allow: peers.allow, deny: newValue) }
    }
}
