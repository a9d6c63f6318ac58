import PeerCore
import PeerReactor
import PeerStorage
import PeerWire
import SimulationSupport
import Testing

@testable import PeerServices

@Suite("Where the search for other nodes begins")
struct SeedsTests {
    /// A class around the value: `#expect` takes no mutating call.
    private final class Kept {
        private var seeds = Seeds()
        var rows: [Seed] { seeds.rows }

        func join(_ seed: String) { seeds.join(seed) }
        func leave(_ seed: String) -> Bool { seeds.leave(seed) }
        func word(of seed: String) -> Word { seeds.word(of: seed) }
        func isNews(_ trouble: String, of seed: String) -> Bool { seeds.isNews(trouble, of: seed) }
        func answered(_ seed: String) -> Bool { seeds.answered(seed) }

        @discardableResult
        func change(to rows: [Seed], isAllowed: Bool = true) -> (gone: Set<String>, new: [String]) {
            seeds.change(to: rows, isAllowed: { _ in isAllowed })
        }
    }

    private func row(_ address: String, _ source: Seed.Source) -> Seed {
        Seed(address: address, source: source, added: UnixTime(.start))
    }

    @Test func `a seed is asked on the user's word where the user named it, and on others' word else`() {
        let seeds = Kept()
        seeds.join("198.51.100.1:8088")
        seeds.change(
            to: [row("198.51.100.2:8088", .user), row("198.51.100.3:8088", .imported)])
        #expect(seeds.word(of: "198.51.100.1:8088") == .users)
        #expect(seeds.word(of: "198.51.100.2:8088") == .users)
        #expect(seeds.word(of: "198.51.100.3:8088") == .others)
        #expect(seeds.word(of: "198.51.100.4:8088") == .others)
    }

    @Test func `a row that others brought is asked only where it may be dialled, and as soon as it may`() {
        let seeds = Kept()
        let rows = [row("10.0.0.1:8088", .imported), row("10.0.0.2:8088", .user)]
        #expect(seeds.change(to: rows, isAllowed: false).new == ["10.0.0.2:8088"])
        #expect(seeds.change(to: seeds.rows).new == ["10.0.0.1:8088"])
        #expect(seeds.change(to: seeds.rows, isAllowed: false).gone == ["10.0.0.1:8088"])
    }

    @Test func `a relay that is left is asked on while a row names it`() {
        let seeds = Kept()
        seeds.join("198.51.100.1:8088")
        seeds.change(to: [row("198.51.100.1:8088", .user)])
        #expect(!seeds.leave("198.51.100.1:8088"))
        #expect(seeds.change(to: []).gone == ["198.51.100.1:8088"])
    }

    @Test func `a relay that is joined is asked on when its row goes`() {
        let seeds = Kept()
        seeds.change(to: [row("198.51.100.1:8088", .user)])
        seeds.join("198.51.100.1:8088")
        #expect(seeds.change(to: []).gone.isEmpty)
        #expect(seeds.leave("198.51.100.1:8088"))
    }

    @Test func `each trouble is told once, whatever time it took, and its end too`() {
        let seeds = Kept()
        let seed = "198.51.100.1:8088"
        #expect(seeds.isNews("no answer within 3 s", of: seed))
        #expect(!seeds.isNews("no answer within 5 s", of: seed))
        #expect(seeds.isNews("connection refused", of: seed))
        #expect(seeds.answered(seed))
        #expect(!seeds.answered(seed))
        #expect(seeds.isNews("connection refused", of: seed))
    }

    @Test func `of a joined relay no trouble is told: who keeps its session does`() {
        let seeds = Kept()
        seeds.join("198.51.100.1:8088")
        #expect(!seeds.isNews("connection refused", of: "198.51.100.1:8088"))
    }

    @Test func `a seed that is this very node is asked no more`() throws {
        let node = LoneNode()
        node.mesh.add(seed: Endpoint(.number(1)))
        node.pass(seconds: 1)
        let question = try #require(node.question(nil))
        #expect(question.request.proof == nil, "who is there is not known yet")
        question.answer(1, [], of: node)
        #expect(node.mesh.isAlone)
    }

    @Test func `a seed that proves another key than before is asked who it is`() throws {
        let node = LoneNode()
        node.mesh.add(seed: Endpoint(.number(2)))
        node.pass(seconds: 1)
        try #require(node.question(nil)).answer(2, [], of: node)
        let digest = try #require(node.question(GossipDigest.kind))
        #expect(digest.request.key == Seal(2).key)
        digest.fails(.stranger)
        node.pass(seconds: 10)
        #expect(node.question(nil) != nil)
    }
}
