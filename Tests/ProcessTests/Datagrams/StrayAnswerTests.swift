import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Services that answer from another port than they were asked at, as TFTP does.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct StrayAnswerTests {
        /// What `status` counts of the node's only mapping.
        private func strays(_ node: Node) async throws -> Int {
            let asked = try await node.command(["status", "--json"])
            let status = try JSONSerialization.jsonObject(with: Data(asked.stdout.utf8)) as? [String: Any]
            let traffic = try #require((status?["Mapping_traffic"] as? [[String: Any]])?.first)
            return try #require((traffic["Datagrams"] as? [String: Any])?["Strays"] as? Int)
        }

        private func descriptors(_ node: Node) throws -> Int { try ProcessFacts(pid: node.program.pid).descriptors }

        @Test("their visitors get nothing, status counts it, and the log says once from where they answer")
        func elsewhere() async throws {
            try await scenario { s in
                let (service, other) = (try DatagramVisitor(), try DatagramVisitor())
                service.echo(by: other)
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(service.port).port
                let quiet = try await peer.command(["status"])
                try #require(!quiet.stdout.contains("STRAYS"), "\(quiet.stdout)")
                let before = try descriptors(peer)
                let visitors = try (0..<6).map { _ in try DatagramVisitor() }
                for visitor in visitors { try #require(try visitor.ask([1], at: port, within: 1) == nil) }
                try await eventually("four are listened beside", within: .seconds(5)) { try await strays(peer) >= 4 }
                try #require(try descriptors(peer) == before + visitors.count + 4)
                let shown = try await peer.command(["status"])
                try #require(shown.stdout.contains("STRAYS"), "\(shown.stdout)")
                let warning = "service 127.0.0.1:\(service.port) answers from 127.0.0.1:\(other.port) instead of"
                try await peer.program.line(containing: warning)
                let lines = peer.program.stderr.split(separator: "\n").filter { $0.contains("answers from") }
                try #require(lines.count == 1, "\(lines)")
                // The relay has nothing of that kind.
                try #require(try await strays(relay) == 0)
            }
        }

        @Test("one that answers from its own port is not listened beside, and nothing is counted or said")
        func right() async throws {
            try await scenario { s in
                let service = try DatagramVisitor()
                service.echo()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(service.port).port
                let before = try descriptors(peer)
                let visitors = try (0..<6).map { _ in try DatagramVisitor() }
                for visitor in visitors { try #require(try visitor.ask([1], at: port) == [1]) }
                try #require(try descriptors(peer) == before + visitors.count, "one socket for each")
                try #require(try await strays(peer) == 0)
                let shown = try await peer.command(["status"])
                try #require(!shown.stdout.contains("STRAYS"), "\(shown.stdout)")
                try #require(!peer.program.stderr.contains("answers from"), "\(peer.program.stderr)")
            }
        }
    }
}
