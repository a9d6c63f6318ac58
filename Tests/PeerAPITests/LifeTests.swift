import Foundation
import Glibc
import Logging
import PeerAPI
import PeerWire
import ServiceLifecycle
import Testing

@Suite("The server")
struct LifeTests {
    private func mode(of path: String) -> mode_t? {
        var info = stat()
        return lstat(path, &info) == 0 ? info.st_mode : nil
    }

    @Test("listens on a socket for this user alone, and leaves nothing behind")
    func socket() async throws {
        let bench = APIBench()
        let server = try await bench.listen()
        #expect(mode(of: bench.path) == S_IFSOCK | 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.folder) == ["api.sock"])
        let running = Task { await server.run() }
        server.stop()
        await running.value
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.folder) == [])
    }

    @Test("takes the place of what a crash left behind")
    func stale() async throws {
        let bench = APIBench()
        var dead = sockaddr_un()
        dead.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &dead.sun_path) { $0.copyBytes(from: bench.path.utf8) }
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let status = withUnsafePointer(to: &dead) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        close(descriptor)
        try #require(status == 0)
        try FileManager.default.createDirectory(atPath: bench.folder + "/.api", withIntermediateDirectories: false)
        _ = FileManager.default.createFile(atPath: bench.folder + "/.api/s", contents: Data())
        let server = try await bench.listen()
        let running = Task { await server.run() }
        let status200 = await aside {
            Result {
                let client = try bench.client()
                client.send(get("/v1/alive"))
                return try client.reply().status
            }
        }
        #expect(try status200.get() == 200)
        #expect(mode(of: bench.path) == S_IFSOCK | 0o600)
        server.stop()
        await running.value
    }

    @Test("touches nothing but sockets, and says in one line what is in its way")
    func inTheWay() async throws {
        let bench = APIBench()
        _ = FileManager.default.createFile(atPath: bench.path, contents: Data("mine".utf8))
        let error = await #expect(throws: APIError.self) { _ = try await bench.listen() }
        #expect(
            error?.text == "the API cannot listen on \(bench.path): something that is no socket is there; move it away")
        #expect(FileManager.default.contents(atPath: bench.path) == Data("mine".utf8))

        try FileManager.default.removeItem(atPath: bench.folder)
        let missing = await #expect(throws: APIError.self) { _ = try await bench.listen() }
        #expect(missing?.text.hasPrefix("the API cannot listen on \(bench.path): ") == true)
        #expect(missing?.text.contains("\n") == false)
    }

    @Test("turns away more than its limit of connections, says so once, and takes others when some have gone")
    func full() async throws {
        var limits = APILimits()
        limits.connections = 4
        try await APIBench.run(limits) { bench in
            var clients = try (0..<4).map { _ in try bench.client(APIBench.member) }
            for client in clients {
                client.send(get("/v1/node"))
                #expect(try client.reply().status == 200)
            }
            for _ in 0..<3 {
                let refused = try RawClient(bench.path)
                #expect(refused.rest().text == "")
                #expect(refused.ending != .silent)
            }
            #expect(
                bench.lines.all == ["the API turns callers away: 4 connections are open; more come in as those end"])
            clients.removeFirst()
            try eventually("another one is served") {
                let client = try bench.client(APIBench.member)
                return client.send(get("/v1/node")) && (try? client.reply())?.status == 200
            }
            clients.removeAll()
        }
    }

    @Test("that stops ends idle connections at once, and others when they are answered")
    func orderly() async throws {
        let gate = Gate()
        let asked = Gate()
        let facts: @Sendable () async -> NodeFacts = {
            asked.open()
            await gate.wait()
            return APIBench.facts
        }
        var limits = APILimits()
        limits.farewell = .seconds(600)
        limits.preface = .seconds(600)
        let bench = APIBench()
        let server = try await bench.listen(limits, facts: facts)
        let running = Task { await server.run() }
        // In this order: connections are accepted as they come, so an answer to the second tells of the first.
        let fresh = try RawClient(bench.path)
        let idle = try bench.client(APIBench.member)
        idle.send(get("/v1/alive"))
        let alive = await aside { [idle = Handed(idle)] in Result { try idle.value.reply().status } }
        #expect(try alive.get() == 200)
        let busy = try bench.client(APIBench.member)
        busy.send(get("/v1/node"))
        await asked.wait()
        server.stop()
        let ends = await aside { [idle = Handed(idle), fresh = Handed(fresh)] in
            [idle.value.rest().ending, fresh.value.rest().ending]
        }
        #expect(ends == [.end, .end])
        gate.open()
        let reply = await aside { [busy = Handed(busy)] in Result { try busy.value.reply() } }
        #expect(try reply.get().status == 200)
        await running.value
        #expect(throws: RawClient.Broken.self) { try RawClient(bench.path) }
    }

    @Test("that stops waits for nobody longer than its limit")
    func farewell() async throws {
        let gate = Gate()
        let asked = Gate()
        let facts: @Sendable () async -> NodeFacts = {
            asked.open()
            await gate.wait()
            return APIBench.facts
        }
        var limits = APILimits()
        limits.farewell = .milliseconds(200)
        let bench = APIBench()
        let server = try await bench.listen(limits, facts: facts)
        let running = Task { await server.run() }
        let busy = try bench.client(APIBench.member)
        busy.send(get("/v1/node"))
        await asked.wait()
        server.stop()
        server.stop()
        let rest = await aside { [busy = Handed(busy)] in busy.value.rest().text }
        #expect(rest == "")
        gate.open()
        await running.value
    }

    @Test("stopped before it runs does nothing, and ends")
    func stoppedEarly() async throws {
        let bench = APIBench()
        let server = try await bench.listen()
        server.stop()
        await server.run()
        #expect(mode(of: bench.path) == nil)
    }

    @Test("is a service: its group's shutdown stops it")
    func service() async throws {
        let bench = APIBench()
        let server = try await bench.listen()
        let group = ServiceGroup(services: [server], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await group.run() }
        let status = await aside {
            Result {
                let client = try bench.client()
                client.send(get("/v1/alive"))
                return try client.reply().status
            }
        }
        #expect(try status.get() == 200)
        await group.triggerGracefulShutdown()
        try await running.value
        #expect(mode(of: bench.path) == nil)
    }

    @Test("serves hundreds of callers at once")
    func crowd() async throws {
        try await APIBench.run { bench in
            for _ in 0..<4 {
                let clients = try (0..<200).map { _ in try bench.client(APIBench.member) }
                for client in clients { client.send(get("/v1/node")) }
                for client in clients { #expect(try client.reply().status == 200) }
                // Until the server has ended it, a connection has its place, of which there are fewer than 400.
                for client in clients { client.finishSending() }
                for client in clients { #expect(client.rest().ending == .end) }
            }
            #expect(bench.lines.all == [])
        }
    }
}

/// Handed to the one thread that uses it from then on.
struct Handed<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
