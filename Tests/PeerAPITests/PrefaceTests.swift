import Glibc
import PeerAPI
import PeerWire
import Testing

@Suite("A connection")
struct PrefaceTests {
    @Test("is answered when preface and request come at once")
    func whole() async throws {
        try await APIBench.run { bench in
            let client = try RawClient(bench.path)
            client.send(APIBench.preface() + Array(get("/v1/alive").utf8))
            let reply = try client.reply()
            #expect(reply.status == 200)
            #expect(reply.body == #"{"alive":true}"#)
            #expect(reply.headers["content-type"] == "application/json")
        }
    }

    @Test("is answered when it comes byte by byte")
    func split() async throws {
        try await APIBench.run { bench in
            let client = try RawClient(bench.path)
            for byte in APIBench.preface(APIBench.member) + Array(get("/v1/node").utf8) { client.send([byte]) }
            #expect(try client.reply().status == 200)
            #expect(bench.lines.all == [])
        }
    }

    @Test("is answered wherever it is cut in two")
    func cut() async throws {
        try await APIBench.run { bench in
            let bytes = APIBench.preface(APIBench.member) + Array(get("/v1/node").utf8)
            for place in stride(from: 1, to: bytes.count, by: 7) {
                let client = try RawClient(bench.path)
                client.send(Array(bytes[..<place]))
                client.send(Array(bytes[place...]))
                #expect(try client.reply().status == 200, "cut at \(place)")
            }
        }
    }

    static let wrong: [(what: String, bytes: [UInt8])] = [
        ("no preface", Array(get("/v1/alive").utf8)),
        ("version 1", Array("PROXY TCP4 198.51.100.7 203.0.113.11 49152 8088\r\n".utf8)),
        ("TLS", [0x16, 3, 1, 2, 0, 1]),
        ("a wrong last byte of the signature", Array(APIBench.preface().prefix(11)) + [0x0b]),
        ("another command", Array(APIBench.preface().prefix(12)) + [0x22]),
        ("UDP", Array(APIBench.preface().prefix(13)) + [0x12]),
        ("too long", Array(APIBench.preface().prefix(14)) + [2, 9]),
        ("65551 bytes long", Array(APIBench.preface().prefix(14)) + [255, 255]),
        ("too short", Array(APIBench.preface().prefix(14)) + [0, 11]),
        (
            "a node key cut short",
            Array(APIBench.preface().prefix(14)) + [0, 16] + Array(APIBench.preface().dropFirst(16)) + [0xe5, 0, 1, 7]
        ),
    ]

    @Test("without a right preface is closed at once, without a word, and logged", arguments: wrong.indices)
    func refused(_ index: Int) async throws {
        var limits = APILimits()
        limits.preface = .seconds(600)
        try await APIBench.run(limits) { bench in
            let client = try RawClient(bench.path)
            client.send(Self.wrong[index].bytes)
            let (text, ending) = client.rest()
            #expect(text == "", "\(Self.wrong[index].what)")
            #expect(ending != .silent, "\(Self.wrong[index].what)")
            #expect(bench.lines.all.count == 1)
            #expect(
                bench.lines.all.first?.hasPrefix("the API closed a connection without the node's preface: ") == true)
            #expect(try bench.client().send(get("/v1/alive")), "others are still served")
        }
    }

    @Test("that takes its time with the preface is closed at the limit, however it trickles")
    func slow() async throws {
        var limits = APILimits()
        limits.preface = .milliseconds(300)
        limits.idle = .seconds(600)
        try await APIBench.run(limits) { bench in
            let silent = try RawClient(bench.path)
            let half = try RawClient(bench.path)
            half.send(Array(APIBench.preface().dropLast()))
            // At this pace the preface would be whole after 1.3 s, were the limit moved by what comes.
            let trickling = try RawClient(bench.path)
            let waited = seconds {
                for byte in APIBench.preface(APIBench.member) + Array(get("/v1/node").utf8) {
                    guard trickling.send([byte]) else { return }
                    usleep(20_000)
                }
            }
            #expect(waited > 0.2, "\(waited) s")
            #expect(trickling.rest().text == "")
            #expect(silent.rest().text == "")
            #expect(half.rest().text == "")
            #expect(half.ending == .end || half.ending == .reset)
            try eventually("all three are logged") { bench.lines.all.count == 3 }
            #expect(bench.lines.all.contains { $0.contains("27 bytes came within 300 ms and no whole preface") })
        }
    }

    @Test("that ends before its preface is no news")
    func gone() async throws {
        try await APIBench.run { bench in
            for count in [0, 5, 16, 27] {
                let client = try RawClient(bench.path)
                client.send(Array(APIBench.preface().prefix(count)))
                client.finishSending()
                #expect(client.rest().text == "")
                #expect(client.ending == .end)
            }
            #expect(bench.lines.all == [])
        }
    }

    @Test("on the proxy's own behalf is a stranger's")
    func local() async throws {
        try await APIBench.run { bench in
            for (path, status) in [("/v1/alive", 200), ("/v1/node", 401)] {
                let client = try RawClient(bench.path)
                client.send(ProxyPreface.local.bytes + Array(get(path).utf8))
                #expect(try client.reply().status == status)
            }
        }
    }

    @Test("may not say twice who it is for")
    func twice() async throws {
        try await APIBench.run { bench in
            let client = try bench.client()
            client.send(APIBench.preface(APIBench.member) + Array(get("/v1/node").utf8))
            let (text, ending) = client.rest()
            #expect(text.hasPrefix("HTTP/1.1 400 "))
            #expect(ending == .end)
        }
    }
}
