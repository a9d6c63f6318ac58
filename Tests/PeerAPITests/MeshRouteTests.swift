import PeerAPI
import PeerWire
import Synchronization
import Testing

@Suite("POST /v1/mesh")
struct MeshRouteTests {
    private static func post(_ body: String, _ headers: String...) -> String {
        "POST /v1/mesh HTTP/1.1\r\nHost: node\r\nContent-Length: \(body.utf8.count)\r\n"
            + headers.map { $0 + "\r\n" }.joined() + "\r\n\(body)"
    }

    @Test("brings a caller's bytes, key, address and proof, and takes bytes and a proof back")
    func carries() async throws {
        let calls = Mutex<[MeshQuestion]>([])
        let mesh: MeshResponder = { call in
            calls.withLock { $0.append(call) }
            return .answer(Array("yes".utf8), proof: "0c0d")
        }
        try await APIBench.run(mesh: mesh) { bench in
            let client = try bench.client(APIBench.other)
            client.send(Self.post("question", "P2PRC-Member: 0a0b"))
            let reply = try client.reply()
            #expect(reply.status == 200 && reply.body == "yes")
            #expect(reply.headers["content-type"] == "application/octet-stream")
            #expect(reply.headers["p2prc-member"] == "0c0d")
            // Who was let in by a proof may ask on.
            client.send(Self.post("again"))
            #expect(try client.reply().status == 200)
        }
        let seen = calls.withLock { $0 }
        #expect(seen.map(\.key) == [APIBench.other, APIBench.other])
        #expect(seen.map { String(decoding: $0.body, as: UTF8.self) } == ["question", "again"])
        #expect(
            seen.map(\.proof) == ["0a0b", nil]
                && seen.allSatisfy {
                    $0.source == NodeAddress(host: HostAddress(APIBench.address), port: APIBench.address.port)
                })
    }

    @Test("tells whoever is refused what strangers are told on any path, and asks about nobody without a key")
    func strangers() async throws {
        try await APIBench.run(mesh: { _ in .stranger }) { bench in
            var replies: [RawClient.Reply] = []
            for request in [Self.post("question"), get("/v1/node"), get("/v1/mesh")] {
                let client = try bench.client(APIBench.other)
                client.send(request)
                replies.append(try client.reply())
                #expect(client.rest().ending == .end)
            }
            #expect(replies[0].status == 403 && replies.allSatisfy { $0 == replies[0] })
        }
        try await APIBench.run(mesh: { _ in .answer([1], proof: nil) }) { bench in
            let client = try bench.client()
            client.send(Self.post("question"))
            #expect(try client.reply().status == 401)
        }
    }

    @Test("answers 429 when there is too much to do, 400 to what says nothing, and 413 to what is too long")
    func refusals() async throws {
        for (answer, status) in [(MeshResponse.busy, 429), (.malformed, 400)] {
            try await APIBench.run(mesh: { _ in answer }) { bench in
                let client = try bench.client(APIBench.member)
                client.send(Self.post("question"))
                #expect(try client.reply().status == status)
            }
        }
        try await APIBench.run(mesh: { _ in .answer([], proof: nil) }) { bench in
            let client = try bench.client(APIBench.member)
            client.send("POST /v1/mesh HTTP/1.1\r\nHost: node\r\nContent-Length: 65537\r\n\r\n")
            #expect(try client.reply().status == 413)
        }
    }

    @Test("is not there on a node without a mesh")
    func absent() async throws {
        try await APIBench.run { bench in
            let client = try bench.client(APIBench.member)
            client.send(Self.post("question"))
            #expect(try client.reply().status == 404)
        }
    }
}
