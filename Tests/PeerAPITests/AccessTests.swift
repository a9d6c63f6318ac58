import PeerAPI
import PeerWire
import Testing

@Suite("The API answers")
struct AccessTests {
    static let requests = [
        get("/v1/node"), get("/v1/nothing"), get("/"), get("/v1"), get("/v1/alive/"), get("/v1/alive/more"),
        get("//v1/alive"), get("/v1/%61live"), get("/V1/ALIVE"), get("/v1/../v1/node"),
        "POST /v1/alive HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n",
        "DELETE /v1/node HTTP/1.1\r\nHost: node\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: node\r\n\r\n",
        get("/v1/node", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "Authorization: Basic YTpi"),
    ]

    @Test("to anybody that it lives")
    func alive() async throws {
        try await APIBench.run { bench in
            for key in [nil, APIBench.other, APIBench.member] {
                for path in ["/v1/alive", "/v1/alive?x=1"] {
                    let client = try bench.client(key)
                    client.send(get(path))
                    let reply = try client.reply()
                    #expect(reply.status == 200)
                    #expect(reply.body == #"{"alive":true}"#)
                }
            }
        }
    }

    @Test("to whoever is no member the same for every path, and once a connection", arguments: [true, false])
    func strangers(_ hasKey: Bool) async throws {
        try await APIBench.run { bench in
            var replies: [RawClient.Reply] = []
            for request in Self.requests {
                let client = try bench.client(hasKey ? APIBench.other : nil)
                client.send(request + get("/v1/alive"))
                replies.append(try client.reply())
                let (text, ending) = client.rest()
                #expect(text == "", "\(request)")
                #expect(ending == .end, "\(request)")
            }
            #expect(replies.count == Self.requests.count)
            #expect(replies.allSatisfy { $0 == replies[0] })
            #expect(replies[0].status == (hasKey ? 403 : 401))
            #expect(replies[0].headers["connection"] == "close")
            #expect(replies[0].body.count < 150)
            let secrets = [APIBench.facts.name, APIBench.facts.version, APIBench.member.description, "v1", "alive"]
            for word in secrets { #expect(!replies[0].body.contains(word)) }
        }
    }

    @Test("to a member what the node is, and 404 for what is not there")
    func members() async throws {
        try await APIBench.run { bench in
            let client = try bench.client(APIBench.member)
            client.send(get("/v1/node"))
            let reply = try client.reply()
            #expect(reply.status == 200)
            #expect(
                reply.body
                    == #"{"name":"büro-1","node_key":"\#(APIBench.member)","roles":["relay","peer"],"version":"0.1.0"}"#
            )
            #expect(reply.headers["cache-control"] == "no-store")
            #expect(reply.headers["connection"] == nil)
            for path in ["/", "/v1", "/v1/nothing", "/v1/node/more"] {
                client.send(get(path))
                let reply = try client.reply()
                #expect(reply.status == 404)
                #expect(reply.body == #"{"error":"there is nothing here"}"#)
            }
        }
    }

    @Test("by the membership of this moment, also on a connection that stands")
    func revoked() async throws {
        try await APIBench.run { bench in
            let client = try bench.client(APIBench.member)
            client.send(get("/v1/node"))
            #expect(try client.reply().status == 200)
            bench.members.withLock { $0 = [] }
            client.send(get("/v1/node"))
            #expect(try client.reply().status == 403)
            #expect(client.rest().ending == .end)
        }
    }

    @Test("a HEAD like a GET, without the body")
    func head() async throws {
        try await APIBench.run { bench in
            let client = try bench.client()
            client.send("HEAD /v1/node HTTP/1.1\r\nHost: node\r\n\r\n")
            let reply = try client.reply(toHead: true)
            #expect(reply.status == 401)
            #expect(reply.headers["content-length"] != "0")
            #expect(client.rest().text == "")
        }
    }
}
