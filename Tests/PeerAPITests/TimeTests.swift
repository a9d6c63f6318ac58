import Glibc
import PeerAPI
import PeerWire
import Testing

@Suite("Nobody keeps a connection")
struct TimeTests {
    /// Every limit out of the way but those that a test sets.
    static func limits(_ change: (inout APILimits) -> Void) -> APILimits {
        var limits = APILimits()
        limits.preface = .seconds(600)
        limits.idle = .seconds(600)
        limits.request = .seconds(600)
        limits.stranger = .seconds(600)
        change(&limits)
        return limits
    }

    private func isClosed(_ client: RawClient, after: Double, before: Double = 10) {
        let waited = seconds { #expect(client.rest().ending != .silent) }
        #expect(waited > after && waited < before, "\(waited) s")
    }

    @Test("idle: a member's ends after its last answer")
    func idle() async throws {
        try await APIBench.run(Self.limits { $0.idle = .milliseconds(400) }) { bench in
            let client = try bench.client(APIBench.member)
            client.send(get("/v1/node"))
            #expect(try client.reply().status == 200)
            isClosed(client, after: 0.2)
        }
    }

    @Test("with a head that never ends, however it trickles")
    func slowHead() async throws {
        try await APIBench.run(Self.limits { $0.idle = .milliseconds(400) }) { bench in
            let client = try bench.client(APIBench.member)
            let waited = seconds {
                for byte in Array(get("/v1/node", "X-Slow: \(String(repeating: "z", count: 60))").utf8) {
                    guard client.send([byte]) else { return }
                    usleep(20_000)
                }
            }
            #expect(waited > 0.2, "\(waited) s")
            #expect(client.rest().text == "")
        }
    }

    @Test("with a body that never ends, however it trickles")
    func slowBody() async throws {
        try await APIBench.run(Self.limits { $0.request = .milliseconds(400) }) { bench in
            let client = try bench.client(APIBench.member)
            client.send("POST /v1/node HTTP/1.1\r\nHost: node\r\nContent-Length: 100\r\n\r\n")
            let waited = seconds {
                for _ in 0..<100 {
                    guard client.send([0x62]) else { return }
                    usleep(20_000)
                }
            }
            #expect(waited > 0.2, "\(waited) s")
            #expect(client.rest().text == "")
        }
    }

    @Test("while its request is not answered in time")
    func slowAnswer() async throws {
        let gate = Gate()
        let facts: @Sendable () async -> NodeFacts = {
            await gate.wait()
            return APIBench.facts
        }
        try await APIBench.run(Self.limits { $0.request = .milliseconds(400) }, facts: facts) { bench in
            let client = try bench.client(APIBench.member)
            client.send(get("/v1/node"))
            isClosed(client, after: 0.2)
            gate.open()
        }
    }

    @Test("as a stranger, who gets one answer or none", arguments: [nil, APIBench.other])
    func stranger(_ key: NodeKey?) async throws {
        try await APIBench.run(Self.limits { $0.stranger = .milliseconds(400) }) { bench in
            let silent = try bench.client(key)
            let slow = try bench.client(key)
            slow.send("GET /v1/alive HTTP/1.1\r\n")
            let member = try bench.client(APIBench.member)
            isClosed(silent, after: 0.2)
            isClosed(slow, after: -1)
            member.send(get("/v1/node"))
            #expect(try member.reply().status == 200)
        }
    }

    @Test("by not reading its answers")
    func deaf() async throws {
        try await APIBench.run(
            Self.limits {
                $0.request = .milliseconds(400); $0.idle = .milliseconds(400)
            }
        ) { bench in
            let client = try bench.client(APIBench.member)
            let requests = Array(String(repeating: get("/v1/node"), count: 100).utf8)
            let waited = seconds { while client.send(requests) {} }
            #expect(waited < 10, "\(waited) s")
        }
    }
}
