internal import CLinux
internal import Glibc
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// What `p2prc status --json` prints (json/schema/status.schema.json).
struct StatusDocument: Codable {
    struct Traffic: Codable {
        var Mapping: String
        var Role: String
        var Connections: UInt64
        var Open: Int
        var Failed: UInt64
        var Refused: UInt64
        var Bytes_from_visitors: UInt64
        var Bytes_to_visitors: UInt64
        /// Of a mapping for UDP, which the others count in.
        var Datagrams: Datagram_traffic?
    }

    struct Datagram_traffic: Codable {
        /// Flows of visitors: of the mapping's figures of that name, what is for UDP.
        var Connections: UInt64
        var Open: Int
        var Refused: UInt64
        var Bytes_from_visitors: UInt64
        var Bytes_to_visitors: UInt64
        /// Datagrams.
        var From_visitors: UInt64
        var To_visitors: UInt64
        /// Flows that gave way to newer ones.
        var Displaced: UInt64
        var Limited: UInt64
        var Cut: UInt64
        var Too_long: UInt64
        var Lost: UInt64
        /// From elsewhere than the target.
        var Strays: UInt64
    }

    /// Of this process.
    struct Datagram_counts: Codable {
        var Dropped: UInt64
        var Overflowed: UInt64
        var Forged: UInt64
        var Late: UInt64
        var Incomplete: UInt64
    }

    struct Turned_away: Codable {
        var Foreign: UInt64
        var Silent: UInt64
        var Other_version: UInt64
        var Crowded: UInt64
        var Filtered: UInt64
        var Unproven: UInt64
        var Broken_TLS: UInt64
        var Broken_handshakes: UInt64
    }

    var Name: String
    var Key: String
    var Roles: [String]
    var Version: String
    /// The library that encrypts data channels.
    var Encryption: String
    var Process: Int32
    var Home: String
    var Server_port: UInt16
    var Public_ports: String?
    /// Of a relay: whether it gives out ports for UDP too.
    var Carries_UDP: Bool?
    var Uptime_seconds: Int
    var Sessions: Int
    /// `nil`: no relay.
    var Draining: Bool?
    var reverse_proxy_servers: [ServerRegistry.Server]
    var reverse_proxy_mappings: [MappingRegistry.Mapping]
    var Mapping_traffic: [Traffic]
    /// `nil`: a node of a version without datagrams answered.
    var Datagrams: Datagram_counts?
    var Strangers: Turned_away

    init(of core: NodeController, uptimeSeconds: Int, _ counted: NodeController.Counted) {
        let documents = core.documents(counted)
        let rejected = core.server.rejected
        Name = core.settings.name
        Key = core.keys.key.description
        Roles = core.roles
        Version = P2PRCVersion.text
        Encryption = RecordLibrary.description
        Process = getpid()
        Home = core.settings.home
        Server_port = core.settings.serverPort
        Public_ports = core.relay.map { $0.policy.ports.description }
        Carries_UDP = core.relay.map { $0.policy.protocols.contains(.udp) }
        Uptime_seconds = uptimeSeconds
        Sessions = core.relay?.sessionCount ?? 0
        Draining = core.relay?.isDraining
        reverse_proxy_servers = documents.servers.servers
        reverse_proxy_mappings = documents.mappings.mappings
        var seen: Set<MappingID> = []
        Mapping_traffic =
            counted.exposed.filter { seen.insert($0.wish.id).inserted }.map {
                Self.traffic($0.wish.id, "peer", $0.traffic)
            }
            + counted.carried.map { Self.traffic($0.standing.lease.mapping, "relay", $0.traffic) }
        Datagrams = Datagram_counts(
            Dropped: counted.datagrams.dropped, Overflowed: counted.datagrams.overflowed,
            Forged: counted.datagrams.forged, Late: counted.datagrams.late, Incomplete: counted.datagrams.incomplete)
        Strangers = Turned_away(
            Foreign: rejected.foreign, Silent: rejected.silent, Other_version: rejected.otherVersion,
            Crowded: rejected.crowded, Filtered: rejected.filtered, Unproven: rejected.unproven,
            Broken_TLS: rejected.brokenTLS,
            Broken_handshakes: rejected.brokenHandshakes)
    }

    private static func traffic(_ id: MappingID, _ role: String, _ counters: TrafficCounters) -> Traffic {
        Traffic(
            Mapping: id.description, Role: role, Connections: counters.connections, Open: counters.open,
            Failed: counters.failed, Refused: counters.refused, Bytes_from_visitors: counters.bytesFromVisitors,
            Bytes_to_visitors: counters.bytesToVisitors,
            Datagrams: counters.datagrams.map {
                Datagram_traffic(
                    Connections: $0.opened, Open: $0.flows, Refused: $0.refused,
                    Bytes_from_visitors: $0.bytesFromVisitors, Bytes_to_visitors: $0.bytesToVisitors,
                    From_visitors: $0.fromVisitors, To_visitors: $0.toVisitors, Displaced: $0.displaced,
                    Limited: $0.limited, Cut: $0.cut, Too_long: $0.tooLong, Lost: $0.lost,
                    Strays: $0.strays)
            })
    }
}

extension StatusDocument.Traffic {
    /// What of it is one protocol's. A visitor who gets no channel or no target is one for TCP.
    func counts(of type: MappingRegistry.Mapping.Transport) -> Self {
        var counts = self
        switch (type, Datagrams) {
        case (.tcp, nil): break
        case (.tcp, let flows?):
            // Lanes are asked one after the other, so that the parts may be newer than the whole.
            counts.Connections -= min(Connections, flows.Connections)
            counts.Open = max(0, Open - flows.Open)
            counts.Refused -= min(Refused, flows.Refused)
            counts.Bytes_from_visitors -= min(Bytes_from_visitors, flows.Bytes_from_visitors)
            counts.Bytes_to_visitors -= min(Bytes_to_visitors, flows.Bytes_to_visitors)
            counts.Datagrams = nil
        case (.udp, let flows):
            counts.Connections = flows?.Connections ?? 0
            counts.Open = flows?.Open ?? 0
            counts.Failed = 0
            counts.Refused = flows?.Refused ?? 0
            counts.Bytes_from_visitors = flows?.Bytes_from_visitors ?? 0
            counts.Bytes_to_visitors = flows?.Bytes_to_visitors ?? 0
        }
        return counts
    }
}

/// The version of this program.
public enum P2PRCVersion {
    public static let text = "0.1.0"
    /// With the commit that it was built from, where the build was told (`make` tells it).
    public static var full: String {
        let commit = String(cString: clinux_commit())
        return commit.isEmpty ? text : "\(text) (\(commit))"
    }
}
