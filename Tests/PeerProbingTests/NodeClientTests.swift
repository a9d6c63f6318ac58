import PeerCore
import PeerProbing
import PeerReactor
import PeerWire
import Testing

@Suite("A client of other nodes", .timeLimit(.minutes(1)))
struct NodeClientTests {
    private static let ownSeed = [UInt8](repeating: 1, count: NodeIdentity.seedByteCount)
    private static let hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nP2PRC-Member: 0a0b\r\n\r\nhello"

    private let own = NodeIdentity(seed: ownSeed)!.key

    /// A client, a loop for others, and the end of both.
    private func withClient(_ body: (NodeClient, EventLoop) async throws -> Void) async throws {
        let loop = try EventLoop()
        try loop.start()
        let client = try NodeClient(seed: Self.ownSeed)
        defer {
            client.stop()
            loop.stop()
        }
        try await body(client, loop)
    }

    @Test("learns the key of a node that it does not know, and shows its own")
    func learns() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .says(Self.hello))
            let answer = try await client.ask(other.request(nil, body: [1, 2, 3])).get()
            #expect(answer.key == other.key && answer.status == 200 && answer.body == Array("hello".utf8))
            #expect(answer.proof == "0a0b")
            #expect(answer.remote.port == other.port && answer.local.host == HostAddress("127.0.0.1"))
            let told = try other.told()
            #expect(told.callers == [own])
            #expect(told.requests.joined().hasPrefix("POST /v1/mesh HTTP/1.1\r\n"))
            #expect(told.requests.joined().contains("Content-Type: application/octet-stream\r\n"))
            try other.close()
        }
    }

    @Test("takes the node that was pinned, and uses its connection again")
    func pinned() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .says(Self.hello))
            let first = try await client.ask(other.request(other.key)).get()
            let second = try await client.ask(other.request(other.key)).get()
            #expect(first.setUp != nil && second.setUp == nil && second.distance == nil)
            let alone = try await client.ask(other.request(other.key, isAlone: true)).get()
            let distance = try #require(alone.distance)
            let setUp = try #require(alone.setUp)
            #expect(distance < setUp && setUp < .seconds(1))
            try other.close()
        }
    }

    @Test("shows a node with another key than the pinned one nothing, on a new connection and on one that is there")
    func otherKey() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .says(Self.hello))
            let wrong = NodeIdentity(seed: [UInt8](repeating: 8, count: 32))!.key
            #expect(await client.ask(other.request(wrong)).failure == .stranger)
            var told = try other.told()
            #expect(told.callers == [] && told.requests == [])
            // Now there is a connection for anybody, which is none for that key.
            _ = try await client.ask(other.request(nil)).get()
            #expect(await client.ask(other.request(wrong)).failure == .stranger)
            told = try other.told()
            #expect(told.requests.count == 1 && told.callers == [own])
            try other.close()
        }
    }

    @Test("cuts an answer that never ends at its limit of bytes")
    func endless() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .neverStops)
            let request = other.request(other.key, limits: .init(total: .seconds(20), answer: 65_536))
            #expect(await client.ask(request).failure == .tooLong)
            try other.close()
        }
    }

    @Test(
        "cuts an answer that drips, and one that never comes, at its limit of time",
        arguments: [
            OtherNode.Manner.drips("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", every: .milliseconds(50)),
            .drips("HTTP/1.1 200 OK\r\nX: ", every: .milliseconds(50)), .isSilent, .isDead,
        ])
    func slow(_ manner: OtherNode.Manner) async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, manner)
            let begun = SystemClock.now
            let limits = NodeRequest.Limits(connect: .milliseconds(500), total: .milliseconds(600))
            #expect(await client.ask(other.request(other.key, limits: limits)).failure == .late)
            let span = SystemClock.now - begun
            #expect(span >= .milliseconds(400) && span < .seconds(5))
            try other.close()
        }
    }

    @Test("follows no redirect")
    func redirect() async throws {
        try await withClient { client, loop in
            let target = try OtherNode(7, on: loop, .says(Self.hello))
            let place = "https://127.0.0.1:\(target.port)/"
            let text = "HTTP/1.1 307 Elsewhere\r\nLocation: \(place)\r\nContent-Length: 0\r\n\r\n"
            let other = try OtherNode(9, on: loop, .says(text))
            let answer = try await client.ask(other.request(other.key, body: [1])).get()
            #expect(answer.status == 307)
            #expect(try target.told().callers == [])
            try other.close()
            try target.close()
        }
    }

    @Test("says that nobody is there, and refuses what is no host")
    func nobody() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .isSilent)
            let request = other.request(other.key)
            try other.close()
            // The port is still bound, and nothing accepts: closed, it is refused.
            var gone = request
            gone.port = 1
            #expect(await client.ask(gone).failure == .unreachable)
            for host in ["127.0.0.1/x", "a@127.0.0.1", "", "a b", "127.0.0.1:80#"] {
                var strange = request
                strange.host = host
                #expect(await client.ask(strange).failure != nil, "\(host)")
            }
        }
    }

    @Test("answers each of a crowd, and takes no more than it has room for")
    func crowd() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .isSilent)
            let limits = NodeRequest.Limits(connect: .seconds(2), total: .seconds(2))
            let request = other.request(other.key, limits: limits)
            let failures = await withTaskGroup(of: NodeFailure.Kind?.self) { tasks in
                for _ in 0..<(NodeClient.maximumRequests + 20) { tasks.addTask { await client.ask(request).failure } }
                return await tasks.reduce(into: []) { $0.append($1) }
            }
            #expect(failures.count { $0 == .crowded } >= 20 && failures.allSatisfy { $0 != nil })
            try other.close()
        }
    }

    @Test("ends what is under way when it stops, and takes nothing afterwards")
    func stops() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .isSilent)
            async let ended = client.ask(other.request(other.key))
            while try other.told().requests.isEmpty { await Task.yield() }
            client.stop()
            #expect(await ended.failure == .broken)
            #expect(await client.ask(other.request(other.key)).failure == .crowded)
            try other.close()
        }
    }

    @Test("takes an answer behind twenty messages that are none of it, and none behind forty", arguments: [20, 40])
    func restless(_ messages: Int) async throws {
        try await withClient { client, loop in
            let other = try RestlessNode(9, messages: messages, answering: Self.hello)
            defer { other.close() }
            let request = NodeRequest(host: "127.0.0.1", port: other.port, key: nil, path: "/v1/mesh")
            for _ in 0..<3 {
                let answer = await client.ask(request)
                #expect(answer.failure == (messages == 20 ? nil : .broken))
                if messages > 20 { return }
            }
        }
    }

    @Test("may get a new key at any time, while connections are being made and after")
    func renewedMeanwhile() async throws {
        try await withClient { client, loop in
            let slow = try SlowPort()
            defer { slow.close() }
            let other = try OtherNode(9, on: loop, .says(Self.hello))
            let request = NodeRequest(host: "127.0.0.1", port: slow.port, key: nil, path: "/v1/mesh")
            let failures = try await withThrowingTaskGroup(of: NodeFailure.Kind?.self) { tasks in
                for _ in 0..<4 { tasks.addTask { await client.ask(request).failure } }
                for number in 10..<20 as Range<UInt8> {
                    client.renew(seed: [UInt8](repeating: number, count: NodeIdentity.seedByteCount))
                    _ = try await client.ask(other.request(other.key)).get()
                }
                slow.admit()
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            #expect(failures.count == 4 && failures.allSatisfy { $0 != nil })
            try other.close()
        }
    }

    @Test("shows a new key once it has one, and on no connection that showed the former one")
    func renewed() async throws {
        try await withClient { client, loop in
            let other = try OtherNode(9, on: loop, .says(Self.hello))
            let seed = [UInt8](repeating: 3, count: NodeIdentity.seedByteCount)
            _ = try await client.ask(other.request(other.key)).get()
            client.renew(seed: seed)
            for _ in 0..<2 { _ = try await client.ask(other.request(other.key)).get() }
            #expect(try other.told().callers == [own, NodeIdentity(seed: seed)!.key])
            try other.close()
        }
    }
}

extension NodeClient {
    fileprivate func ask(_ request: NodeRequest) async -> Result<NodeAnswer, NodeFailure> {
        await withCheckedContinuation { continuation in send(request) { continuation.resume(returning: $0) } }
    }
}

extension Result<NodeAnswer, NodeFailure> {
    fileprivate var failure: NodeFailure.Kind? {
        if case .failure(let failure) = self { failure.kind } else { nil }
    }
}
