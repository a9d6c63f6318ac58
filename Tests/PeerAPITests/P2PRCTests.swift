import Foundation
import Logging
import PeerAPI
import PeerWire
import Synchronization
import Testing

/// The adapter, as P2PRC nodes meet it.
@Suite("The adapter for P2PRC")
struct P2PRCTests {
    /// What came in, and a server that takes it.
    final class Bench: Sendable {
        let tables = Mutex<[P2PRCTable]>([])
        let folder: String

        init() {
            var template = Array("/tmp/p2prc-compat-XXXXXX".utf8CString)
            folder = String(cString: mkdtemp(&template)!)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        static func run(
            _ limits: APILimits = APIServer.p2prcLimits, _ scenario: @escaping @Sendable (Bench) throws -> Void
        ) async throws {
            let bench = Bench()
            let lines = LogLines()
            let answers = P2PRCAnswers(name: "büro-1") { table in
                bench.tables.withLock { $0.append(table) }
                var row = P2PRCTable.Row()
                row.name = "büro-1"
                return P2PRCTable(rows: [row])
            }
            let server = try await APIServer.listenToP2PRC(
                at: bench.folder + "/p2prc.sock", limits: limits, answers: answers,
                log: Logger(label: "test") { _ in lines.handler })
            let running = Task { await server.run() }
            let outcome = await aside { Result { try scenario(bench) } }
            server.stop()
            await running.value
            try outcome.get()
            #expect(lines.all == [])
        }

        /// One request on a connection of its own, as the adapter wants it.
        func ask(_ request: String) throws -> RawClient.Reply {
            let client = try RawClient(folder + "/p2prc.sock")
            client.send(APIBench.preface())
            client.send(request)
            let reply = try client.reply()
            #expect(client.rest().ending == .end)
            return reply
        }
    }

    static func post(_ body: String, _ type: String, path: String = "/IpTable") -> String {
        "POST \(path) HTTP/1.1\r\nHost: n\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static func form(_ json: String, name: String = "json") -> String {
        post(
            "--b\r\nContent-Disposition: form-data; name=\"\(name)\"; filename=\"/t.json\"\r\n\r\n\(json)\r\n--b--\r\n",
            "multipart/form-data; boundary=b")
    }

    @Test("gives a sign of life in P2PRC's form, and nothing of the machine but its name")
    func serverInfo() async throws {
        try await Bench.run { bench in
            for _ in 0..<3 {
                let reply = try bench.ask(get("/server_info"))
                #expect(reply.status == 200)
                let info = try JSONSerialization.jsonObject(with: Data(reply.body.utf8)) as? NSDictionary
                #expect(
                    info == [
                        "Hostname": "büro-1", "Platform": "linux", "CPU": "", "RAM": 0, "Disk": 0, "GPU": NSNull(),
                    ])
            }
        }
    }

    @Test("takes a table as a form, in one piece or in chunks, and as it is; and answers with one")
    func exchange() async throws {
        try await Bench.run { bench in
            let json = #"{"ip_address":[{"Name":"a","IPV4":"192.0.2.1","ServerPort":"8088","NAT":"False"}]}"#
            let whole = Self.form(json)
            let chunked = whole.replacing(#/Content-Length: \d+\r\n\r\n/#, with: "Transfer-Encoding: chunked\r\n\r\n")
            let start = try #require(chunked.range(of: "\r\n\r\n")).upperBound
            let content = Array(chunked[start...].utf8)
            let pieces = stride(from: 0, to: content.count, by: 7).map { Array(content[$0...].prefix(7)) }
            let inChunks =
                String(chunked[..<start])
                + pieces.map { "\(String($0.count, radix: 16))\r\n\(String(decoding: $0, as: UTF8.self))\r\n" }.joined()
                + "0\r\n\r\n"
            for request in [whole, inChunks, Self.post(json, "application/json")] {
                let reply = try bench.ask(request)
                #expect(reply.status == 200)
                #expect(reply.headers["connection"] == "close")
                #expect(try P2PRCTable(json: Array(reply.body.utf8)).rows.map(\.name) == ["büro-1"])
            }
            let taken = bench.tables.withLock { $0 }
            #expect(taken.count == 3)
            #expect(taken.allSatisfy { $0.rows.map(\.address?.description) == ["192.0.2.1:8088"] })
        }
    }

    @Test("answers what is no table, no form or nothing of P2PRC's in one line, and takes nothing")
    func refused() async throws {
        try await Bench.run { bench in
            let rows = Array(repeating: #"{"Name":"a"}"#, count: 1_025).joined(separator: ",")
            for (request, status, word) in [
                (Self.form("{}"), 400, "no list"), (Self.form("error: x"), 400, "line 1"),
                (Self.form("{}", name: "other"), 400, "json"),
                (Self.form(#"{"ip_address":[\#(rows)]}"#), 400, "1024"),
                (Self.post("x", "text/plain"), 400, "line 1"),
                (get("/MAPPort?port=22"), 404, "tables"), (get("/MAPPort?port=53&udp=true"), 404, "tables"),
                (get("/FRPPort?udp=true"), 404, "tables"), (get("/IpTable"), 404, "tables"),
                (get("/v1/node"), 404, "tables"), (Self.post("", "x", path: "/v1/mesh"), 404, "tables"),
            ] {
                let reply = try bench.ask(request)
                #expect(reply.status == status && reply.body.contains(word), "\(reply)")
                #expect(reply.body.split(separator: "\n").count == 1)
            }
            #expect(bench.tables.withLock { $0 } == [])
        }
    }

    @Test("refuses a body that is too long before it is there, and one that turns out to be")
    func tooLong() async throws {
        var limits = APIServer.p2prcLimits
        limits.body = 1_000
        try await Bench.run(limits) { bench in
            let announced = "POST /IpTable HTTP/1.1\r\nHost: n\r\nContent-Length: 1001\r\n\r\n"
            let first = try bench.ask(announced)
            #expect(first.status == 413)
            let chunk = "3e8\r\n\(String(repeating: " ", count: 1_000))\r\n"
            let endless = "POST /IpTable HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)\(chunk)"
            let second = try bench.ask(endless)
            #expect(second.status == 413)
        }
    }
}
