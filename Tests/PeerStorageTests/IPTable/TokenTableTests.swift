import PeerCore
import PeerStorage
import PeerWire
import Testing

@Suite struct TokenTableTests {
    let folder: TestFolder
    let home: Home
    let table: IPTable

    init() throws {
        folder = TestFolder()
        home = try folder.home()
        table = try IPTable.open(in: home, now: .someday).table
    }

    func token(_ id: String, name: String = "ci", node: NodeKey? = nil, issued: Int64 = 0, lasts: Int64 = 60)
        -> IssuedToken
    {
        IssuedToken(
            id: id, name: name, key: "0011223344556677", scope: #"{"rate":1}"#, node: node,
            issued: .someday + issued, expires: .someday + issued + lasts)
    }

    @Test func `tokens come back as they were saved, the newest first, with what became of them`() async throws {
        let (old, new) = (token("a", name: "'; DROP TABLE issued_token; --"), token("b", node: .number(3), issued: 5))
        try await table.save(old)
        try await table.save(new)
        try await table.revokeToken("a", at: .someday + 7, expires: old.expires)
        #expect(try await table.bindToken("b", to: .number(3), at: .someday, expires: new.expires) == .number(3))
        let found = try await table.tokens()
        #expect(found.map(\.token) == [new, old])
        #expect(found.map(\.revoked) == [nil, .someday + 7])
        #expect(found.map(\.boundTo) == [.number(3), nil])
    }

    @Test func `two tokens have not the same id`() async throws {
        try await table.save(token("a"))
        let error = await #expect(throws: StorageError.self) { try await table.save(token("a", name: "other")) }
        #expect(error?.kind == .invalid)
    }

    @Test func `what is revoked stays so, over a restart, whether it was issued here or not`() async throws {
        #expect(try await !table.isTokenRevoked("a"))
        try await table.revokeToken("a", at: .someday, expires: .someday + 60)
        try await table.revokeToken("a", at: .someday + 9, expires: .someday + 60)
        #expect(try await table.isTokenRevoked("a"))
        #expect(try await !table.isTokenRevoked("b"))
        try await table.close()
        #expect(try await IPTable.open(in: home, now: .someday).table.isTokenRevoked("a"))
    }

    @Test func `the first node key to use a token keeps it, also when all come at once`() async throws {
        let keys = try await withThrowingTaskGroup { group in
            for number in 1...50 as ClosedRange<UInt8> {
                group.addTask {
                    try await table.bindToken("a", to: .number(number), at: .someday, expires: .someday + 60)
                }
            }
            return try await group.reduce(into: Set<NodeKey>()) { $0.insert($1) }
        }
        #expect(keys.count == 1)
        let first = try #require(keys.first)
        try await table.close()
        let reopened = try IPTable.open(in: home, now: .someday).table
        #expect(try await reopened.bindToken("a", to: .number(99), at: .someday, expires: .someday + 60) == first)
        #expect(
            try await reopened.bindToken("b", to: .number(99), at: .someday, expires: .someday + 60) == .number(99))
    }

    @Test func `what is long over is swept, and not a day earlier`() async throws {
        try await table.save(token("a"))
        try await table.revokeToken("a", at: .someday, expires: .someday + 60)
        _ = try await table.bindToken("a", to: .number(1), at: .someday, expires: .someday + 60)
        #expect(try await table.sweepTokens(at: .someday + 60 + IPTable.tokenMemory) == 0)
        #expect(try await table.isTokenRevoked("a"))
        #expect(try await table.sweepTokens(at: .someday + 61 + IPTable.tokenMemory) == 3)
        #expect(try await table.tokens() == [])
        #expect(try await !table.isTokenRevoked("a"))
        #expect(try await table.sweepTokens(at: WallTime(seconds: .min)) == 0)
    }

    @Test func `a full table makes room of tokens that are over, and else says so`() async throws {
        for number in 0..<IPTable.tokenLimit { try await table.save(token("t\(number)", lasts: number == 0 ? 1 : 60)) }
        try await table.save(token("late", issued: 1))
        #expect(try await table.tokens().count == IPTable.tokenLimit)
        #expect(try await table.tokens().contains { $0.token.id == "t0" } == false)
        let error = await #expect(throws: StorageError.self) { try await table.save(token("more", issued: 1)) }
        #expect(error?.kind == .full)
        #expect(error?.description.contains("p2prc token revoke") == true)
        try await table.revokeToken("t7", at: .someday, expires: .someday + 60)
        try await table.save(token("in its place", issued: 1))
        #expect(try await table.isTokenRevoked("t7"))
        try await table.save(token("after", issued: 100))
        #expect(try await table.tokens().map(\.token.id) == ["after"])
    }
}
