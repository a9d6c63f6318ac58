internal import PeerReactor
internal import PeerStorage

/// Where visitors find what this node exposes, the best first. A pure function of the listing.
struct PublishedAddresses: Hashable, Sendable {
    struct Row: Hashable, Sendable {
        var target: String
        var transport: String
        var address: Endpoint
    }

    /// Linux takes 128 KiB for one text (execve(2), MAX_ARG_STRLEN).
    private static let longest = 65_536

    private(set) var rows: [Row] = []

    /// - Parameter relays: those that visitors are sent to; others may serve for a while yet.
    init(_ registry: MappingRegistry, at relays: Set<String>) {
        for mapping in registry.mappings where mapping.role == .peer && mapping.relay.map(relays.contains) == true {
            switch mapping.state {
            // A service that rests keeps its addresses; the relay refuses for it meanwhile.
            case .active, .verified, .targetDown: break
            case .requested, .bound, .committed, .refused, .unreachable, .offline, .waiting: continue
            }
            guard let host = mapping.address, let port = mapping.blindPort, Self.isPlain(host) else { continue }
            rows.append(
                Row(
                    target: mapping.target, transport: mapping.type.rawValue,
                    address: Endpoint(host: host, port: port)))
        }
    }

    /// A relay says by what host it is reached, and a script that is careless with quotes must not be made to do more
    /// than it says: names and numeric addresses have nothing but these.
    private static func isPlain(_ host: String) -> Bool {
        host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-_.:%".utf8.contains(byte)
            }
        }
    }

    /// Each once, in the order of the rows.
    var hosts: [String] {
        var seen: Set<String> = []
        return rows.map(\.address.host).filter { seen.insert($0).inserted }
    }

    /// What a hook finds in its environment.
    var environment: [String: String] {
        let hosts = hosts
        return [
            "P2PRC_HOST": hosts.first ?? "",
            "P2PRC_HOSTS": Self.joined(hosts, by: " "),
            "P2PRC_ADDRESSES": Self.joined(rows.map(\.address.description), by: " "),
            "P2PRC_MAPPINGS": Self.joined(rows.map { "\($0.target) \($0.transport) \($0.address)" }, by: "\n"),
        ]
    }

    private static func joined(_ parts: [String], by separator: String) -> String {
        var text = ""
        for part in parts {
            guard text.utf8.count + part.utf8.count < longest else { break }
            text += (text.isEmpty ? "" : separator) + part
        }
        return text
    }
}
