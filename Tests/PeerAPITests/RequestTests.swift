import PeerAPI
import PeerWire
import Testing

@Suite("Requests")
struct RequestTests {
    @Test("of a member come one after the other on one connection")
    func keepAlive() async throws {
        try await APIBench.run { bench in
            let client = try bench.client(APIBench.member)
            for _ in 0..<20 {
                client.send(get("/v1/node"))
                #expect(try client.reply().status == 200)
            }
        }
    }

    @Test("that are pipelined are answered in their order")
    func pipelined() async throws {
        try await APIBench.run { bench in
            let client = try bench.client(APIBench.member)
            let paths = ["/v1/alive", "/v1/node", "/v1/nothing", "/v1/alive", "/v1/node"]
            client.send((0..<10).flatMap { _ in paths }.map { get($0) }.joined())
            for _ in 0..<10 {
                for path in paths {
                    let reply = try client.reply()
                    #expect(reply.status == (path == "/v1/nothing" ? 404 : 200))
                    #expect(reply.body.contains("alive") == (path == "/v1/alive"))
                }
            }
        }
    }

    @Test("end with the connection when they say so, and when the caller has finished")
    func lastOne() async throws {
        try await APIBench.run { bench in
            for word in ["close", "Close"] {
                let client = try bench.client(APIBench.member)
                client.send(get("/v1/node", "Connection: \(word)"))
                #expect(try client.reply().status == 200)
                client.finishSending()
                #expect(client.rest().ending == .end)
            }
            let client = try bench.client(APIBench.member)
            client.send(get("/v1/node"))
            client.finishSending()
            #expect(try client.reply().status == 200)
            #expect(client.rest().ending == .end)
        }
    }

    static let tooLarge: [(what: String, request: String)] = [
        ("a field", get("/v1/alive", "X-Long: \(String(repeating: "a", count: 9_000))")),
        ("the path", get("/\(String(repeating: "a", count: 9_000))")),
        ("many fields", get("/v1/alive", (0..<110).map { "X-\($0): 1" }.joined(separator: "\r\n"))),
        (
            "all fields",
            get(
                "/v1/alive",
                (0..<9).map { "X-\($0): \(String(repeating: "a", count: 2_000))" }.joined(separator: "\r\n"))
        ),
    ]

    @Test("with too large a head are refused", arguments: tooLarge.indices)
    func oversizedHead(_ index: Int) async throws {
        try await APIBench.run { bench in
            for key in [nil, APIBench.member] {
                let client = try bench.client(key)
                client.send(Self.tooLarge[index].request)
                #expect(try client.reply().status == 400, "\(Self.tooLarge[index].what)")
                #expect(client.rest().ending == .end, "\(Self.tooLarge[index].what)")
            }
        }
    }

    @Test("that are none are refused")
    func malformed() async throws {
        try await APIBench.run { bench in
            for bytes in [
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /v1/alive\r\n\r\n", "\u{0}\u{0}\u{0}\u{0}\r\n\r\n",
                "GET /v1/alive HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "GET /v1/alive HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET /v1/alive HTTP/1.1\r\nHost\r\n\r\n",
            ] {
                let client = try bench.client(APIBench.member)
                client.send(bytes)
                let (text, ending) = client.rest()
                #expect(text == "" || text.hasPrefix("HTTP/1.1 400 "), "\(bytes): \(text)")
                #expect(ending != .silent, "\(bytes)")
            }
            let client = try bench.client()
            client.send(get("/v1/alive"))
            #expect(try client.reply().status == 200)
        }
    }

    @Test("may have a body of 64 KiB, which is passed over")
    func body() async throws {
        try await APIBench.run { bench in
            let client = try bench.client(APIBench.member)
            let body = String(repeating: "b", count: 65_536)
            client.send(
                "POST /v1/node HTTP/1.1\r\nHost: node\r\nContent-Length: 65536\r\n\r\n\(body)" + get("/v1/node"))
            #expect(try client.reply().status == 404)
            #expect(try client.reply().status == 200)
            let chunk = "8000\r\n\(body.prefix(32_768))\r\n"
            client.send(
                "POST /v1/node HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)\(chunk)0\r\n\r\n"
                    + get("/v1/node"))
            #expect(try client.reply().status == 404)
            #expect(try client.reply().status == 200)
        }
    }

    @Test("with a larger body are refused and end the connection, and the answer arrives whole")
    func oversizedBody() async throws {
        try await APIBench.run { bench in
            for key in [nil, APIBench.member] {
                let announced = try bench.client(key)
                announced.send("POST /v1/node HTTP/1.1\r\nHost: node\r\nContent-Length: 65537\r\n\r\n")
                #expect(try announced.reply().status == 413)

                let sent = try bench.client(key)
                let chunk = "8000\r\n\(String(repeating: "b", count: 32_768))\r\n"
                sent.send("POST /v1/node HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)\(chunk)")
                sent.send("1\r\nb\r\n")
                // What is under way when the refusal is written must not cost the caller its answer.
                sent.send(chunk)
                let reply = try sent.reply()
                #expect(reply.status == 413)
                #expect(reply.headers["connection"] == "close")
                #expect(reply.body.contains("65536 bytes"))
                #expect(sent.rest().text == "")
            }
        }
    }

    @Test("without end end")
    func endlessBody() async throws {
        try await APIBench.run { bench in
            let client = try bench.client()
            client.send("POST /v1/node HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = Array("8000\r\n\(String(repeating: "b", count: 32_768))\r\n".utf8)
            let waited = try seconds { try eventually("nothing is taken any more") { !client.send(chunk) } }
            #expect(waited < 10, "\(waited) s")
        }
    }
}
