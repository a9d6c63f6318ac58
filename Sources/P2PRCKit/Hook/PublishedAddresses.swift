internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// Where visitors find what this node exposes, the best first. A pure function of what is exposed and of what was
/// published before.
struct PublishedAddresses: Hashable, Sendable {
    struct Row: Hashable, Sendable {
        var mapping: MappingID
        var target: String
        var transport: String
        var address: Endpoint
        /// Whose port that is.
        var relay: Endpoint
    }

    /// Linux takes 128 KiB for one text (execve(2), MAX_ARG_STRLEN).
    private static let longest = 65_536

    private(set) var rows: [Row] = []

    /// - Parameters:
    ///   - wishes: mappings that this node exposes, whether any relay is there or not.
    ///   - relays: those that visitors are sent to; others may serve for a while yet.
    ///   - last: what was published before. An address enters when it was seen to work from outside. It stays while its
    ///     service rests or it is looked at again; and where nothing at all works of a mapping, its last ones stay.
    init(
        _ mappings: [ExposedMapping], of wishes: Set<MappingID>, at relays: Set<String>,
        after last: PublishedAddresses = PublishedAddresses()
    ) {
        let former = Set(last.rows)
        for mapping in mappings where relays.contains(mapping.relay.description) {
            rows += Self.rows(mapping).compactMap { row, standing in
                switch standing.state {
                case _ where standing.isWorking: row
                case .active, .targetDown: former.contains(row) ? row : nil
                case .requested, .bound, .committed, .verified, .refused, .unreachable, .offline: nil
                }
            }
        }
        let standing = Set(rows.map(\.mapping))
        rows += last.rows.filter { wishes.contains($0.mapping) && !standing.contains($0.mapping) }
    }

    /// Nothing.
    init() {}

    /// The user gave up a relay: nobody is sent there any more, whatever else works.
    mutating func forget(_ relay: Endpoint) { rows.removeAll { $0.relay == relay } }

    /// What is gone of these, where later ones are published.
    func loss(in later: PublishedAddresses) -> HookPace.Loss {
        let left = Set(later.rows)
        let kept = rows.filter(left.contains)
        guard kept.count < rows.count else { return .nothing }
        return Set(rows.map(\.mapping)).isSubset(of: kept.map(\.mapping)) ? .some : .all
    }

    private static func rows(_ mapping: ExposedMapping) -> [(row: Row, standing: PeerPortAgreement.Standing)] {
        guard let host = mapping.host, let ports = mapping.ports, isPlain(host) else { return [] }
        return Documents.transports(mapping.wish.protocols).flatMap { transport in
            let standings = mapping.standings(of: transport == .udp ? .udp : .tcp)
            return zip(ports.ports, standings).enumerated().map { offset, port in
                let row = Row(
                    mapping: mapping.wish.id, target: Documents.target(mapping.targetText, offset),
                    transport: transport.rawValue, address: Endpoint(host: host, port: port.0), relay: mapping.relay)
                return (row, port.1)
            }
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
