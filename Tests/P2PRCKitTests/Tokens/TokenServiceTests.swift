import Foundation
import PeerCore
import PeerStorage
import PeerTokens
import PeerWire
import Testing

@testable import P2PRCKit

@Suite final class TokenServiceTests {
    let path: String
    let home: Home
    let table: IPTable
    let service: TokenService
    static let now = WallTime(seconds: 1_800_000_000)
    static let relay = NodeKey(bytes: [UInt8](repeating: 1, count: 32))!
    static let (peer, other) = (
        NodeKey(bytes: [UInt8](repeating: 2, count: 32))!, NodeKey(bytes: [UInt8](repeating: 3, count: 32))!
    )

    init() throws {
        var template = Array("/tmp/p2prc-service-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template)!)
        home = try Home.open(at: path)
        table = try IPTable.open(in: home, now: Self.now).table
        service = try TokenService(home: home, relay: Self.relay, table: table)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    static func request(_ name: String = "ci", expires: String = "1h", node: NodeKey? = nil) throws -> TokenRequest {
        var flags = TokenRequest.Flags(name: name, expires: expires)
        flags.ports = ["30000-30010,40000"]
        flags.protocols = ["tcp"]
        flags.maxConnections = "9"
        flags.node = node?.description
        return try TokenRequest(flags)
    }

    func issue(_ request: TokenRequest, at now: WallTime = now) async throws -> String {
        let reply = await service.carryOut(.issue(request), at: now).reply
        try #require(reply.status == .success, "\(reply.text)")
        return reply.text
    }

    func refusal(_ token: String, from node: NodeKey = peer, at now: WallTime = now) async throws -> TokenRefusal? {
        guard case .refused(let refusal) = try await service.judge(token, from: node, at: now) else { return nil }
        return refusal
    }

    @Test func `a relay that never issued a token takes none`() async throws {
        #expect(try await refusal("a.b.c") != nil)
        #expect(!FileManager.default.fileExists(atPath: home.paths.tokenKey), "judging makes no key")
    }

    @Test func `an issued token opens what its flags said, to the first node key that shows it`() async throws {
        let token = try await issue(try Self.request())
        guard case .granted(let grant, let id) = try await service.judge(token, from: Self.peer, at: Self.now) else {
            Issue.record("refused")
            return
        }
        #expect(grant.membership == .token(id: id) && grant.protocols == .tcp && grant.limits.connections == 9)
        #expect(grant.ports == [PortRange(first: 30_000, last: 30_010)!, PortRange(first: 40_000, count: 1)!])
        #expect(grant.expires == Self.now + 3_600)
        #expect(try await refusal(token, from: Self.other) == .boundToAnotherKey)
        // Another process with the same home knows it too.
        let later = try TokenService(home: home, relay: Self.relay, table: table)
        #expect(
            try await later.judge(token, from: Self.other, at: Self.now) == .refused(.boundToAnotherKey))
        #expect(try await table.tokens().map(\.boundTo) == [Self.peer])
    }

    @Test func `a revoked token is over at once, and its jti is told once`() async throws {
        let tokens = [try await issue(try Self.request()), try await issue(try Self.request())]
        _ = try await issue(try Self.request("else"))
        let ended = await service.carryOut(.revoke("ci"), at: Self.now).ended
        let ids = try tokens.map { try UnverifiedToken($0).id }
        #expect(Set(ended) == Set(ids.map { TokenService.Ending(id: $0, at: Self.now) }))
        for token in tokens { #expect(try await refusal(token) == .revoked) }
        #expect(await service.carryOut(.revoke(ids[0]), at: Self.now).ended == [])
        #expect(await service.carryOut(.revoke("nobody"), at: Self.now).reply.status == .notFound)
    }

    @Test func `a rotation tells which tokens end, and when`() async throws {
        let short = try await issue(try Self.request("short", expires: "10m"))
        let long = try await issue(try Self.request("long", expires: "2d"))
        let first = await service.carryOut(.rotateKey(keepSeconds: 86_400), at: Self.now)
        let id = try UnverifiedToken(long).id
        #expect(first.ended == [.init(id: id, at: Self.now + 86_400)])
        #expect(try await refusal(short) == nil)
        #expect(try await refusal(long, at: Self.now + 86_399) == nil)
        guard case .retiredKey = try await refusal(long, at: Self.now + 86_400) else {
            Issue.record("the old key counts for ever")
            return
        }
        let new = try await issue(try Self.request("new"))
        let second = await service.carryOut(.rotateKey(keepSeconds: 0), at: Self.now)
        #expect(Set(second.ended.map(\.id)) == Set(try [short, long, new].map { try UnverifiedToken($0).id }))
        #expect(second.ended.allSatisfy { $0.at == Self.now })
        for token in [short, long, new] { #expect(try await refusal(token) != nil) }
    }

    @Test func `rotations at once come one after the other`() async throws {
        await withTaskGroup { group in
            for _ in 0..<10 {
                group.addTask { [service] in
                    let reply = await service.carryOut(.rotateKey(keepSeconds: 60), at: Self.now).reply
                    #expect(reply.status == .success)
                }
            }
        }
        let token = try await issue(try Self.request())
        #expect(try await refusal(token) == nil)
        let again = try TokenService(home: home, relay: Self.relay, table: table)
        guard case .granted = try await again.judge(token, from: Self.peer, at: Self.now) else {
            Issue.record("the key on the disk is another one than the one that signed")
            return
        }
    }

    @Test func `when the table cannot be written a token opens nothing, and none is issued`() async throws {
        let token = try await issue(try Self.request())
        home.close()
        await #expect(throws: StorageError.self) { try await service.judge(token, from: Self.peer, at: Self.now) }
        #expect(await service.carryOut(.issue(try Self.request()), at: Self.now).reply.status == .homeUnusable)
        #expect(await service.carryOut(.rotateKey(keepSeconds: 0), at: Self.now).reply.status == .homeUnusable)
    }
}
