import PeerWire
import Testing

@Suite struct KeySuccessionTests {
    static let nodes = (0..<6).map { NodeIdentity(seed: .counting(from: UInt8(40 * $0)))! }
    static let start: Int64 = 1_800_000_000
    static let day: Int64 = 86_400

    /// From one of the nodes to another, made at the start, counting for ten days.
    static func step(_ former: Int, _ next: Int, days: Int64 = 10) -> KeySuccession {
        KeySuccession(from: nodes[former], to: nodes[next], made: start, until: start + days * day)
    }

    static func former(_ steps: [KeySuccession], of node: Int, at now: Int64 = start) -> Result<
        [NodeKey], KeyHistoryFault
    > {
        do throws(KeyHistoryFault) {
            return .success(try KeyHistory(steps).formerKeys(of: nodes[node].key, at: now))
        } catch {
            return .failure(error)
        }
    }

    static func keys(_ numbers: Int...) -> Result<[NodeKey], KeyHistoryFault> {
        .success(numbers.map { nodes[$0].key })
    }

    @Test func `a key that was handed over is a former key of the new one, and of no other`() {
        #expect(Self.former([Self.step(0, 1)], of: 1) == Self.keys(0))
        #expect(Self.former([Self.step(0, 1), Self.step(1, 2)], of: 2) == Self.keys(0, 1))
        #expect(Self.former([], of: 2) == Self.keys())
        #expect(Self.former([Self.step(0, 1)], of: 2) == .failure(.gap))
        // Reversed, in the wrong order, with one missing.
        #expect(Self.former([Self.step(1, 0)], of: 1) == .failure(.gap))
        #expect(Self.former([Self.step(1, 2), Self.step(0, 1)], of: 2) == .failure(.gap))
        #expect(Self.former([Self.step(0, 1), Self.step(2, 3)], of: 3) == .failure(.gap))
    }

    @Test func `no byte of it can be changed`() throws {
        let bytes = Self.step(0, 1).bytes
        #expect(bytes.count == KeySuccession.byteCount)
        for index in bytes.indices {
            let changed = try #require(KeyHistory(bytes: bytes.flipping(at: index)))
            let keys = try? changed.formerKeys(of: Self.nodes[1].key, at: Self.start)
            #expect(keys == nil, "byte \(index)")
        }
    }

    @Test func `both keys must have signed`() {
        // Somebody hands a key over that is not his, or takes a key into his history that never agreed.
        let own = Self.step(0, 1)
        let forged = KeySuccession(bytes: own.bytes.prefix(80) + own.nextSignature + own.nextSignature)!
        #expect(Self.former([forged], of: 1) == .failure(.signature))
        let taken = KeySuccession(bytes: own.bytes.prefix(80) + own.formerSignature + own.formerSignature)!
        #expect(Self.former([taken], of: 1) == .failure(.signature))
    }

    @Test func `it counts until its end, and what came before an ended one counts no more either`() {
        let steps = [Self.step(0, 1, days: 30), Self.step(1, 2, days: 10), Self.step(2, 3, days: 20)]
        #expect(Self.former(steps, of: 3) == Self.keys(0, 1, 2))
        #expect(Self.former(steps, of: 3, at: Self.start + 10 * Self.day - 1) == Self.keys(0, 1, 2))
        #expect(Self.former(steps, of: 3, at: Self.start + 10 * Self.day) == Self.keys(2))
        #expect(Self.former(steps, of: 3, at: Self.start + 20 * Self.day) == Self.keys())
        let ends = KeyHistory(steps).ends(at: Self.start)
        #expect(ends.map(\.until) == [10, 10, 20].map { Self.start + $0 * Self.day })
        #expect(ends.map(\.key) == Self.nodes[0...2].map(\.key))
    }

    @Test func `impossible times and circles are refused`() {
        for days in [0, -1, 401] as [Int64] {
            #expect(Self.former([Self.step(0, 1, days: days)], of: 1) == .failure(.times))
        }
        let extreme = KeySuccession(from: Self.nodes[0], to: Self.nodes[1], made: .min, until: .max)
        #expect(Self.former([extreme], of: 1) == .failure(.times))
        #expect(Self.former([Self.step(0, 1), Self.step(1, 0)], of: 0) == .failure(.loop))
        #expect(Self.former([Self.step(0, 0)], of: 0) == .failure(.loop))
    }

    @Test func `four changes are told, and bytes of more are none`() throws {
        let steps = (0..<5).map { Self.step($0, $0 + 1) }
        #expect(Self.former(steps, of: 5) == Self.keys(1, 2, 3, 4))
        #expect(KeyHistory(bytes: steps.flatMap(\.bytes)) == nil)
        let four = Array(steps.suffix(4).flatMap(\.bytes))
        let read = try #require(KeyHistory(bytes: four))
        #expect(read.bytes == four)
        for count in [1, 207, 209, 831] { #expect(KeyHistory(bytes: Array(four.prefix(count))) == nil) }
    }

    @Test func `since a key means from its handing over on`() {
        let history = KeyHistory([Self.step(0, 1), Self.step(1, 2)])
        #expect(history.since(Self.nodes[1].key).successions == [Self.step(1, 2)])
        #expect(history.since(Self.nodes[0].key) == history)
        #expect(history.since(Self.nodes[2].key).isEmpty && history.since(Self.nodes[5].key).isEmpty)
    }
}
