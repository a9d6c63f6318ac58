import PeerDataPlane
import PeerReactor
import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit
@testable import PeerCore
@testable import PeerServices

/// Every text that the wire takes goes through everything that writes one: registries, listings, log, hook.
@Suite struct EveryTextTests {
    static let key = NodeKey(bytes: Array(repeating: 7, count: 32))!
    static let mapping = MappingID(value: 1)

    /// At the limits of the wire, and one of each odd kind.
    static let texts: [String] =
        [
            "", " ", "a", String(repeating: "a", count: 512), String(repeating: "研", count: 170), "a/b", "$(x)", "`x`",
            "\"", "\\", "<&>", "a:1", "127.0.0.1:7001  verified  tls", "e\u{301}\u{301}", "\u{301}", "👩\u{200d}💻",
            "server port", "192.0.2.7:80", "[::1]:80", "192.0.2.7", "::1", "fe80::1%eth0", "[fe80::1%eth0]:65535",
            String(repeating: "a", count: 253), String(repeating: "a", count: 253) + ":65535",
        ] + unseen.map { "a\($0)b" } + unseen.map { "\($0)" }

    static let unseen: [Unicode.Scalar] = [
        "\u{0}", "\u{7}", "\n", "\r", "\u{1b}", "\u{7f}", "\u{9b}", "\u{a0}", "\u{ad}", "\u{200b}", "\u{2028}",
        "\u{2029}", "\u{202e}", "\u{2066}", "\u{3000}", "\u{3164}", "\u{fe0f}", "\u{feff}", "\u{fffd}", "\u{ffff}",
        "\u{e000}", "\u{e0041}",
    ]

    private static func frame(_ type: UInt8, _ fields: [(UInt8, [UInt8])]) -> Frame {
        Frame(type: type, payload: fields.flatMap { [$0.0, UInt8($0.1.count >> 8), UInt8($0.1.count & 0xff)] + $0.1 })
    }

    private static let id = (UInt8(1), [0, 0, 0, 0, 0, 0, 0, 1] as [UInt8])

    private static func target(_ text: String) -> String? {
        let frame = frame(0x20, [id, (2, [1]), (3, [0, 2]), (6, Array(text.utf8))])
        guard case .request(let request) = try? PeerMessage(frame) else { return nil }
        return request.target
    }

    private static func host(_ text: String) -> String? {
        let frame = frame(0x24, [id, (2, [0, 1]), (3, Array(text.utf8))])
        guard case .active(_, _, let host) = try? RelayMessage(frame) else { return nil }
        return host
    }

    private static func name(_ text: String) -> String? {
        guard case .close(_, let detail) = try? PeerMessage(frame(0x05, [(1, [1]), (2, Array(text.utf8))])) else {
            return nil
        }
        return detail
    }

    @Test func `the wire takes each of the kinds, and refuses some`() {
        for take in [Self.target, Self.host, Self.name] {
            let taken = Self.texts.compactMap(take).count
            #expect(taken > 2 && taken < Self.texts.count)
        }
    }

    /// A relay that carries one mapping, and a peer that exposes one there.
    static func documents(target: String, host: String, name: String) -> Documents {
        let lease = Lease(
            key: key, mapping: mapping, ports: PortRange(first: 30_000, count: 2)!, protocols: .tcp, peerName: name,
            target: target, expires: WallTime(seconds: 2_000_000_000))
        let carried = CarriedMapping(
            standing: RelayCore.Standing(lease: lease), isLive: true, host: host, isPlain: false, isShort: false,
            traffic: TrafficCounters())
        let wish = MappingWish(
            id: mapping, target: .service(host: "127.0.0.1", port: 80), protocols: .tcp, ports: .any(count: 2))
        let exposed = ExposedMapping(
            wish: wish, targetText: "127.0.0.1:80", relay: Endpoint(host: "relay.example", port: 8_088),
            relayName: name,
            state: .verified, reason: name,
            standings: Array(repeating: .init(state: .verified, reason: name, verifiedBy: [name]), count: 2),
            refusal: nil,
            host: host, ports: PortRange(first: 30_000, count: 2)!, receipt: nil, isPlain: false, failures: 0,
            traffic: TrafficCounters())
        let relay = RelayStanding(
            endpoint: Endpoint(host: "relay.example", port: 8_088), name: name, key: key, state: .refused, reason: name,
            latency: nil, lastHeard: nil, isPlain: nil)
        return Documents(
            of: NamedNode(name: "me", key: key),
            own: .init(
                endpoint: Endpoint(host: "192.0.2.1", port: 8_088), carried: [carried],
                ports: PortRange(first: 20_000, count: 1_000)!),
            relays: [relay], exposed: [exposed], now: WallTime(seconds: 1_900_000_000))
    }

    private static func isClean(_ text: String) -> Bool {
        text.split(separator: "\n", omittingEmptySubsequences: false).allSatisfy { PlainText.isClean(String($0)) }
    }

    @Test func `whatever the wire took is written everywhere, shows, and stands in its own row`() throws {
        var judged = 0
        for text in Self.texts {
            let (target, host, name) = (Self.target(text), Self.host(text), Self.name(text))
            guard target != nil || host != nil || name != nil else { continue }
            judged += 1
            var documents = Self.documents(
                target: target ?? "192.0.2.9:80", host: host ?? "192.0.2.1", name: name ?? "home")
            #expect(documents.leaveOutMisfits() == [], "\(text.unicodeScalars.map(\.value))")
            let (mappings, servers) = (try documents.mappings.json(), try documents.servers.json())
            #expect(try MappingRegistry(json: mappings) == documents.mappings)
            #expect(try ServerRegistry(json: servers) == documents.servers)
            for bytes in [mappings, servers] { #expect(Self.isClean(String(decoding: bytes, as: UTF8.self))) }
            for table in [TextTable.mappings(documents.mappings), TextTable.servers(documents.servers)] {
                #expect(Self.isClean(table))
                let lines = table.split(separator: "\n", omittingEmptySubsequences: false)
                #expect(lines.allSatisfy { TerminalText.columns(String($0)) < 800 })
            }
            let rows = PortRows.collapsed(documents.mappings.mappings).count
            #expect(rows >= 2 && TextTable.mappings(documents.mappings).split(separator: "\n").count == rows + 1)
            #expect(TextTable.servers(documents.servers).split(separator: "\n").count == 3)
            #expect(Self.isClean(StderrLog.shown("session of \(name ?? "") ended")))
            let hook = PublishedAddresses(
                documents.exposed, of: [], at: ["relay.example:8088"]
            ).environment
            #expect(hook["P2PRC_MAPPINGS"]?.contains(where: { "$`\"\\;&|<>".contains($0) }) == false)
            #expect(hook.values.allSatisfy { Self.isClean($0) })
        }
        #expect(judged > 30)
    }

    @Test func `a row that an earlier version let in costs itself and no other`() throws {
        for (target, host) in [("", "192.0.2.1"), ("192.0.2.9:80", "a/b"), ("192.0.2.9:80", "")] {
            var documents = Self.documents(target: target, host: host, name: "home")
            documents.mappings.mappings.append(
                contentsOf: Self.documents(
                    target: "192.0.2.9:80", host: "192.0.2.1", name: "home"
                ).mappings.mappings)
            #expect(!documents.leaveOutMisfits().isEmpty)
            #expect(documents.mappings.mappings.count >= 4)
            #expect(throws: Never.self) { try documents.mappings.json() }
        }
    }

    @Test func `a range whose ports would run past the last one is no trap`() {
        let rows = Self.documents(target: "192.0.2.9:65535", host: "192.0.2.1", name: "home").mappings.mappings
        #expect(rows.filter { $0.role == .relay }.map(\.target) == ["192.0.2.9:65535", "192.0.2.9:65535"])
    }
}
