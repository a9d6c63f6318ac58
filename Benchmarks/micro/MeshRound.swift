import PeerCore
import PeerWire

/// Two nodes with tables full of the same rows; each round one of them has a piece of news.
private final class Neighbours {
    /// All that a table takes from others' word.
    static let rows = 12_288
    private static let start: Int64 = 1_800_000_000

    private let keys: [NodeKey]
    private var asking: Gossip
    private var asked: Gossip
    private var now = Instant.zero
    private var round = 0

    init() throws {
        var random = SeededGenerator(seed: 1)
        keys = (0..<Self.rows + 3).map { _ in
            NodeKey(bytes: (0..<32).map { _ in UInt8.random(in: 0 ... .max, using: &random) })!
        }
        asking = Gossip(own: keys[Self.rows], seed: 1, mayDial: { _ in true }, isGenuine: { _ in true })
        asked = Gossip(own: keys[Self.rows + 1], seed: 2, mayDial: { _ in true }, isGenuine: { _ in true })
        let records = try keys.prefix(Self.rows).map { try Self.record($0, issue: 1) }
        asking.restore(records, areJudged: true, at: now, wall: wall)
        asked.restore(records, areJudged: true, at: now, wall: wall)
        guard asking.book.add(seed: "neighbour"), asking.table.count == Self.rows, asked.table.count == Self.rows else {
            throw Broken("tables of \(asking.table.count) and \(asked.table.count) rows")
        }
    }

    private var wall: WallTime { WallTime(seconds: Self.start) + Int64(now.nanoseconds / 1_000_000_000) }

    private static func record(_ key: NodeKey, issue: UInt64) throws -> SignedRecord {
        let address = NodeAddress(
            host: HostAddress(bytes: [45, key.bytes[0], key.bytes[1], key.bytes[2]])!, port: 8088)!
        let record = NodeRecord(
            key: key, issue: issue, process: .init(began: 1, instance: 1), issued: start, lifetime: 86_400,
            content: .init(name: "node", software: "p2prc/1", addresses: [address]))
        return try SignedRecord(record) { _ in [UInt8](repeating: 7, count: 64) }
    }

    private func caller(_ index: Int) -> Gossip.Caller {
        .init(key: keys[Self.rows + index], host: HostAddress(bytes: [46, UInt8(index), 0, 1])!)
    }

    /// News come to one; the other asks it, and takes them.
    func exchange() throws {
        now = now + .seconds(7)
        round += 1
        let key = keys[round % Self.rows]
        let news = GossipDifference(
            time: wall.seconds, room: 0, records: [try Self.record(key, issue: UInt64(round) + 1)])
        _ = asked.asked(news, by: caller(2), at: now, wall: wall)
        for case .exchange(let number, _, let digest) in asking.timePassed(at: now, wall: wall) {
            guard case .difference(let lists) = asked.asked(digest, by: caller(0), at: now, wall: wall) else {
                throw Broken("a digest was not answered")
            }
            for case .send(_, let wants) in asking.answered(number, lists, by: caller(1), at: now, wall: wall) {
                guard case .difference(let records) = asked.asked(wants, by: caller(0), at: now, wall: wall) else {
                    throw Broken("wants were not answered")
                }
                _ = asking.answered(number, records, by: caller(1), at: now, wall: wall)
            }
        }
        _ = (asking.takeChanges(), asked.takeChanges())
        guard asking.table[key]?.issue == UInt64(round) + 1 else { throw Broken("round \(round): no news") }
    }
}

extension Scenario {
    /// A round of gossip between two full tables.
    @Sendable static func meshRound() throws -> (Int) throws -> Void {
        let neighbours = try Neighbours()
        return { count in for _ in 0..<count { try neighbours.exchange() } }
    }
}
