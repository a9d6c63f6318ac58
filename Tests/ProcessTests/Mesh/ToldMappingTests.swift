import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What a node tells others of its services, because its user wants it told.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct ToldMappingTests {
        struct Told: Decodable, Hashable, CustomStringConvertible {
            let name: String
            let host: String
            let port: Int
            let ports: Int

            enum CodingKeys: String, CodingKey {
                case name = "Name"
                case host = "Address"
                case port = "First_port"
                case ports = "Ports"
            }

            var description: String { "\(name) \(host):\(port) \(ports)" }
        }

        private struct Table: Decodable {
            struct Row: Decodable {
                let Key: String?
                let Source: String
                let Mappings: [Told]
            }
            let ip_table: [Row]
        }

        private struct Registry: Decodable {
            struct Row: Decodable {
                let Target: String
                let Told_as: String?
            }
            let reverse_proxy_mappings: [Row]
        }

        /// What that node reads in the other's record.
        private func told(by key: String, at node: Node) async throws -> [Told] {
            let table = try JSONDecoder().decode(Table.self, from: await node.json(["--ls"]))
            return table.ip_table.first { $0.Key == key && $0.Source == "record" }?.Mappings ?? []
        }

        private func names(_ node: Node, _ target: Int) async throws -> Set<String?> {
            let rows = try JSONDecoder().decode(Registry.self, from: await node.json(["--view-rpm"]))
            let of = rows.reverse_proxy_mappings.filter { $0.Target.hasSuffix(":\(target)") }
            return Set(of.map(\.Told_as))
        }

        @Test("a service that is to be told is in other nodes' tables until it is taken back, and no other ever")
        func telling() async throws {
            try await scenario { s in
                let (web, silent) = (try await s.service("echo"), try await s.service("echo"))
                let relay = try await s.meshRelay("relay")
                let peer = try await s.meshPeer("peer", of: relay)
                let third = try await s.meshPeer("third", of: relay)
                let key = try await peer.key()
                var seen: Set<String> = []
                func wait(_ what: String, for wanted: [Told]) async throws {
                    try await eventually(what, within: .seconds(30), every: .milliseconds(100)) {
                        let told = try await told(by: key, at: third)
                        seen.formUnion(told.map(\.name))
                        return told == wanted
                    }
                }

                try #require(try await peer.command(["--mp", "\(silent.port)"]).status == ExitCode.fine)
                let made = try await peer.command(["--mp", "\(web.port)", "--tell", "Büro web", "--json"])
                try #require(made.status == ExitCode.fine && made.stdout.contains("\"Told_as\": \"Büro web\""))
                let row = try await peer.verified(web.port)
                let place = Told(name: "Büro web", host: row.address ?? "", port: row.port, ports: 1)
                try await wait("the third node reads of it", for: [place])
                let table = try await third.command(["--ls"])
                try #require(table.stdout.contains("Büro web at 127.0.0.1:\(row.port)"), "\(table.stdout)")
                let specs = try await third.command(["--specs", key, "--json"])
                try #require(specs.stdout.contains("\"Name\": \"Büro web\""), "\(specs.stdout)")
                try #require(try await names(peer, web.port) == ["Büro web"])
                try #require(try await names(peer, silent.port) == [nil])

                // It has another name, and keeps its port.
                let renamed = try await peer.command(["--mp", "\(web.port)", "--tell", "web"])
                try #require(renamed.status == ExitCode.fine)
                try #require(try await peer.viewRPM().first { $0.leads(to: web.port) }?.state == "verified")
                let other = Told(name: "web", host: place.host, port: row.port, ports: 1)
                try await wait("it has another name", for: [other])
                // Given again without a word it keeps that, over a restart too.
                try #require(try await peer.command(["--mp", "\(web.port)"]).status == ExitCode.fine)
                try #require(try await names(peer, web.port) == ["web"])
                try #require(try await peer.program.terminate() == 0)
                try await peer.restart()
                let again = try await peer.verified(web.port)
                try #require(again.port == row.port)
                try await wait("it is told after the restart", for: [other])
                try #require(try await peer.command(["unmap", "\(web.port)"]).status == ExitCode.fine)
                // No more than the fourth record of that process: a node writes four a minute.
                try await wait("it is gone", for: [])
                try #require(seen == ["Büro web", "web"], "\(seen)")
            }
        }

        @Test("a range is told as one from the start of the node, and taken back with an empty name")
        func range() async throws {
            try await scenario { s in
                let first = try FreePorts.range(2).lowerBound
                _ = try await s.service("echo", port: first)
                _ = try await s.service("echo", port: first + 1)
                let relay = try await s.meshRelay("relay")
                let peer = try await s.meshPeer("peer", of: relay) { settings in
                    settings.mappings = ["\(first)-\(first + 1)"]
                    settings.more = ["--tell", "both"]
                }
                let row = try await peer.verified(first)
                let key = try await peer.key()
                try await eventually("the relay reads of it", within: .seconds(30), every: .milliseconds(100)) {
                    try await told(by: key, at: relay) == [
                        Told(name: "both", host: row.address ?? "", port: row.port, ports: 2)
                    ]
                }
                let silenced = try await peer.command(["--mp", "\(first)-\(first + 1)", "--tell", ""])
                try #require(silenced.status == ExitCode.fine)
                try #require(try await names(peer, first) == [nil])
                try await eventually("it is told no more", within: .seconds(30), every: .milliseconds(100)) {
                    try await told(by: key, at: relay).isEmpty
                }
                try #require(try await peer.mapping(first, in: "verified").port == row.port)
            }
        }

        @Test("what is told moves with the relay that serves it")
        func failover() async throws {
            try await scenario { s in
                let web = try await s.service("echo")
                let relays = [try await s.meshRelay("first")]
                let second = try await s.meshRelay("second", of: relays[0])
                let third = try await s.meshPeer("third", of: second)
                let peer = try await s.meshPeer("peer", of: relays[0]) { settings in
                    settings.relays.append("127.0.0.1:\(second.settings.serverPort ?? 0)")
                    settings.mappings = ["\(web.port)"]
                    settings.more = ["--tell", "web"]
                }
                let key = try await peer.key()
                func ports() async throws -> Set<Int> { Set(try await told(by: key, at: third).map(\.port)) }
                func verified() async throws -> Set<Int> {
                    let rows = try await peer.viewRPM().filter { $0.leads(to: web.port) }
                    return Set(rows.filter { $0.state == "verified" }.map(\.port))
                }
                try await eventually("both addresses are told", within: .seconds(40), every: .milliseconds(100)) {
                    let (told, now) = (try await ports(), try await verified())
                    return told.count == 2 && told == now
                }
                relays[0].program.kill()
                try await eventually("that of the one that is left", within: .seconds(40), every: .milliseconds(100)) {
                    let (told, now) = (try await ports(), try await verified())
                    return told.count == 1 && told == now
                }
            }
        }
    }
}
