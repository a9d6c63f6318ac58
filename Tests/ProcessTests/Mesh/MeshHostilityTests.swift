import Foundation
import PeerCore
import PeerProbing
import PeerWire
import TestSupport
import Testing

extension ProcessTests {
    /// Nodes among which somebody lies, or answers without end.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct MeshHostilityTests {
        private static let meshKey = MeshKey(bytes: [UInt8](repeating: 0x5e, count: MeshKey.byteCount))!

        private func identity(_ number: UInt8) -> NodeIdentity {
            NodeIdentity(seed: [UInt8](repeating: number, count: NodeIdentity.seedByteCount))!
        }

        private func ask(
            _ client: NodeClient, _ node: Node, _ body: [UInt8], from own: NodeKey, provenBy meshKey: MeshKey?,
            limits: NodeRequest.Limits = .init()
        ) async throws -> NodeAnswer {
            let key = NodeKey(try await node.key())!
            let request = NodeRequest(
                host: "127.0.0.1", port: UInt16(node.settings.serverPort ?? 0), key: key, path: "/v1/mesh", body: body,
                proof: meshKey.flatMap { MemberProof.text(of: own, to: key, with: [$0]) }, limits: limits)
            return try await withCheckedContinuation { continuation in
                client.send(request) { continuation.resume(returning: $0) }
            }.get()
        }

        /// A relay by its own word, with a statement of a friend; nobody is at its address.
        private func pretender(_ port: UInt16) throws -> [SignedRecord] {
            let (liar, friend) = (identity(0x71), identity(0x72))
            let now = Int64(Date.now.timeIntervalSince1970)
            let address = NodeAddress(host: HostAddress("127.0.0.1")!, port: port)!
            func record(_ own: NodeIdentity, _ other: NodeIdentity) throws -> SignedRecord {
                let statement = DialBackStatement(subject: own.key, time: now, address: address, by: other)
                return try SignedRecord(
                    NodeRecord(
                        key: own.key, issue: UInt64(now) * 1_000, process: .init(began: 1, instance: 1), issued: now,
                        lifetime: 3_600,
                        content: .init(roles: .relay, name: "pretender", addresses: [address], witnesses: [statement])),
                    by: own)
            }
            return [try record(liar, friend), try record(friend, liar)]
        }

        @Test("who only claims to be a relay is listed with what speaks against it, and never chosen")
        func pretends() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let peer = try await s.meshPeer("peer", of: first)
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let own = identity(0x71).key
                let records = try pretender(UInt16(FreePorts.one()))
                let now = Int64(Date.now.timeIntervalSince1970)
                let news = GossipDifference(time: now, room: 0, records: records)
                // Without the mesh key nobody listens.
                let refused = try await ask(client, first, news.bytes, from: own, provenBy: nil)
                try #require(refused.status == 403)
                let other = MeshKey(bytes: [UInt8](repeating: 1, count: MeshKey.byteCount))
                try #require(try await ask(client, first, news.bytes, from: own, provenBy: other).status == 403)
                let taken = try await ask(client, first, news.bytes, from: own, provenBy: Self.meshKey)
                try #require(taken.status == 200)
                let keys = Set(records.map(\.key.description))
                // One of a host is dialled at a time, and this one tells of two.
                let seen = try await eventually("the peer heard of it", within: .seconds(20)) {
                    let rows = try await peer.candidates().filter { keys.contains($0.key) }
                    // The two vouch for each other, so they may be measured; nobody answers there.
                    return rows.first { !$0.isProven || $0.samples > 0 }
                }
                try #require(!seen.isChosen && seen.answers == 0 && seen.latency == nil, "\(seen)")
                try await throughout(.seconds(5), "it is not chosen") {
                    try await !peer.candidates().contains { keys.contains($0.key) && $0.isChosen }
                }
            }
        }

        @Test("who asks a node without end is answered a hundred times a second, and told that it is busy")
        func asksWithoutEnd() async throws {
            try await scenario { s in
                let relay = try await s.meshRelay("relay")
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let own = identity(0x71).key
                let began = ContinuousClock.now
                var told: [Int: Int] = [:]
                while told.values.reduce(0, +) < 400 {
                    let answer = try await ask(
                        client, relay, [MeshMirror.requestKind], from: own, provenBy: Self.meshKey)
                    told[answer.status, default: 0] += 1
                }
                let seconds = (ContinuousClock.now - began) / .seconds(1)
                try #require(Double(told[200] ?? 0) <= 100 * (seconds + 1) + 1, "\(told) in \(seconds) s")
                try #require(told[200] ?? 0 >= 90 && told.keys.allSatisfy([200, 429].contains), "\(told)")
                if seconds < 2 { try #require(told[429] ?? 0 > 0, "\(told) in \(seconds) s") }
                // A moment later all is as before.
                try await Task.sleep(for: .seconds(1))
                try #require(
                    try await ask(client, relay, [MeshMirror.requestKind], from: own, provenBy: Self.meshKey).status
                        == 200)
            }
        }

        @Test("who has no session to a relay does not say where it can be reached")
        func vouchOfStranger() async throws {
            try await scenario { s in
                let relay = try await s.meshRelay("relay")
                let (own, port) = (identity(0x71), try FreePorts.one())
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let key = NodeKey(try await relay.key())!
                let now = Int64(Date.now.timeIntervalSince1970)
                let empty = try await ask(client, relay, [Vouch.requestKind], from: own.key, provenBy: nil)
                try #require(empty.status == 403)
                for place in [relay.settings.serverPort ?? 0, port] {
                    let address = NodeAddress(host: HostAddress("127.0.0.1")!, port: UInt16(place))!
                    let vouch = Vouch(DialBackStatement(subject: key, time: now, address: address, by: own)).bytes
                    let answer = try await ask(client, relay, vouch, from: own.key, provenBy: Self.meshKey)
                    try #require(answer.status == 200 && answer.body == Vouch.answer(counts: false), "\(answer.body)")
                    let cut = Array(vouch.dropLast())
                    let malformed = try await ask(client, relay, cut, from: own.key, provenBy: Self.meshKey)
                    try #require(malformed.status == 400)
                }
                let check = try await relay.netcheck()
                try #require(check.reachable != "yes" && check.at.isEmpty, "\(check)")
            }
        }

        @Test("a forged record and an expired one do not get in, and what is no question is refused")
        func forged() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let own = identity(0x71).key
                let now = Int64(Date.now.timeIntervalSince1970)
                var bytes = try pretender(9)[0].bytes
                bytes[bytes.count - 1] ^= 1
                let expired = try SignedRecord(
                    NodeRecord(
                        key: identity(0x73).key, issue: 5, process: .init(began: 1, instance: 1), issued: now - 7_200,
                        lifetime: 3_600, content: .init(name: "old")), by: identity(0x73))
                let lies = GossipDifference(time: now, room: 0, records: [try SignedRecord(bytes), expired])
                for body in [[0], [1, 2, 3], [2], [3], [6], [255]] as [[UInt8]] {
                    let answer = try await ask(client, first, body, from: own, provenBy: Self.meshKey)
                    try #require(answer.status == 400, "\(body)")
                }
                // And nothing that it says in the next minute is read.
                for body in [lies.bytes, GossipDifference(time: now, room: 0, records: []).bytes, [2]] {
                    let answer = try await ask(client, first, body, from: own, provenBy: Self.meshKey)
                    try #require(answer.status == 429)
                }
                let keys = try await first.knownKeys()
                try #require(!keys.contains(own.description) && !keys.contains(identity(0x73).key.description))
            }
        }

        @Test("who proved a mesh key that leaked is no member any more once it is replaced")
        func leaked() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let own = identity(0x71).key
                let question = MeshProbe.request()
                try #require(try await ask(client, first, question, from: own, provenBy: nil).status == 403)
                try #require(try await ask(client, first, question, from: own, provenBy: Self.meshKey).status == 200)
                try #require(try await ask(client, first, question, from: own, provenBy: nil).status == 200)
                let rotated = try await first.command(["mesh-key", "rotate", "--keep", "0s"])
                try #require(rotated.status == 0, "\(rotated.stderr)")
                try #require(try await ask(client, first, question, from: own, provenBy: Self.meshKey).status == 403)
            }
        }

        @Test("a dial-back goes to nobody but the asker, and only so often")
        func dialBack() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let own = identity(0x71).key
                let victim = try await s.service("echo")
                let request = DialBackRequest(
                    nonce: [UInt8](repeating: 7, count: DialBackRequest.nonceByteCount), port: UInt16(victim.port))
                var outcomes: [DialBackAnswer.Outcome] = []
                for _ in 0..<6 {
                    let answer = try await ask(client, first, request.bytes, from: own, provenBy: Self.meshKey)
                    outcomes.append(try #require(DialBackAnswer(answer.body)).outcome)
                }
                // Somebody else than the asker is at that port, so it was not reached; after four it is enough.
                try #require(outcomes.allSatisfy { $0 == .notReached || $0 == .busy })
                try #require(outcomes.suffix(2).allSatisfy { $0 == .busy }, "\(outcomes)")
            }
        }

        @Test("who measures bandwidth without end is refused, and told how it goes all the same")
        func greedy() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let client = try NodeClient(seed: [UInt8](repeating: 0x71, count: 32))
                defer { client.stop() }
                let own = identity(0x71).key
                let limits = NodeRequest.Limits(answer: MeshProbe.maximumDownload + 64)
                let much = MeshProbe.request(wanted: MeshProbe.maximumDownload)
                let statuses = try await withThrowingTaskGroup(of: NodeAnswer.self) { tasks in
                    for _ in 0..<16 {
                        tasks.addTask {
                            try await ask(client, first, much, from: own, provenBy: Self.meshKey, limits: limits)
                        }
                    }
                    return try await tasks.reduce(into: [:]) { $0[$1.status, default: 0] += 1 }
                }
                // Four in a second, and one for each quarter of a second that it took.
                try #require((statuses[429] ?? 0) > 0 && (statuses[200] ?? 0) >= 4, "\(statuses)")
                try #require(statuses.keys.allSatisfy { [200, 429].contains($0) })
                let probe = try await ask(client, first, MeshProbe.request(), from: own, provenBy: Self.meshKey)
                try #require(probe.status == 200 && MeshProbe.read(answer: probe.body)?.count == 0)
            }
        }

        /// TLS like a node's, then an answer without an end.
        private static let script = """
            import socket, ssl, sys, threading, time
            port, manner, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(folder + "/stranger.crt", folder + "/stranger.key")
            context.set_alpn_protocols(["http/1.1"])
            def serve(end):
                try:
                    end = context.wrap_socket(end, server_side=True)
                    end.recv(65536)
                    if manner == "flood":
                        end.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1073741824\\r\\n\\r\\n")
                        for _ in range(16384): end.sendall(bytes(65536))
                    else:
                        end.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 900\\r\\n\\r\\n")
                        while True:
                            end.sendall(b"x")
                            time.sleep(60)
                except OSError: pass
            door = socket.create_server(("127.0.0.1", port))
            print("listening", flush=True)
            while True: threading.Thread(target=serve, args=(door.accept()[0],), daemon=True).start()
            """

        @Test(
            "an answer of a gigabyte, and one that comes by the minute, are cut, and the mesh goes on",
            arguments: [
                ("flood", "longer than anybody needs"), ("drip", "timed out"),
            ])
        func endless(_ manner: String, _ complaint: String) async throws {
            try await scenario { s in
                try await s.makeStranger()
                let port = try FreePorts.one()
                let hostile = try s.start(
                    "hostile", "/usr/bin/python3", ["-c", Self.script, "\(port)", manner, s.folder])
                try await hostile.line(containing: "listening", within: .seconds(10))
                let first = try await s.meshRelay("first")
                let peer = try await s.meshPeer("peer", of: first)
                let memory = try peer.program.facts().memory
                try #require(try await peer.command(["--as", "127.0.0.1:\(port)"]).status == 0)
                try await eventually("it says what is wrong there", within: .seconds(30)) {
                    let lines = peer.program.stderr.split(separator: "\n").filter { $0.contains("127.0.0.1:\(port)") }
                    return lines.contains { $0.lowercased().contains(complaint) }
                }
                let keys: Set = [try await first.key(), try await peer.key()]
                try await eventually("the others are known", within: .seconds(20)) {
                    try await peer.knownKeys() == keys
                }
                try #require(try peer.program.facts().memory - memory < 40_000, "KiB")
            }
        }
    }
}
