import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct RecordAuthorTests {
    static let content = RecordAuthor.Content(name: "n", software: "s")

    /// A process that began at that number.
    static func author(_ instance: UInt64 = 1, began: UInt64 = 1, last: UInt64 = 0) -> RecordAuthor {
        RecordAuthor(key: Seal(1).key, process: .init(began: began, instance: instance), lastIssue: last)
    }

    @Test func `what others say of the time moves no number far beyond the own clock`() throws {
        var author = Self.author()
        let first = try required(author.write(Self.content, time: 90_000, own: 10_000))
        #expect(first.issue == 10_300_001 && first.issued == 90_000)
        let second = try required(author.write(Self.content, time: 10_000, own: 10_000, force: true))
        #expect(second.issue == 10_300_002)
    }

    @Test func `a number that no right clock led to is forgotten at the start`() throws {
        let wall = WallTime(seconds: 1_900_000_000)
        func start(_ last: UInt64) throws -> UInt64 {
            var author = RecordAuthor(
                key: Seal(1).key, process: .init(began: 1, instance: 1), lastIssue: last, at: wall)
            return try required(author.write(Self.content, time: wall.seconds, own: wall.seconds)).issue
        }
        let due: UInt64 = 1_900_000_000_001
        #expect(try start(due + 315_360_000_000) == due)
        // A clock that was a day ahead may have led to that.
        #expect(try start(due + 86_400_000) == due + 86_400_001)
        #expect(try start(0) == due)
    }

    @Test func `numbers grow, also when the clock goes back and over restarts`() throws {
        var author = Self.author()
        let first = try required(author.write(Self.content, time: 1_000))
        let second = try required(author.write(Self.content, time: 500, force: true))
        #expect(first.issue == 1_000_001 && second.issue == 1_000_002)
        var restarted = Self.author(2, began: 2, last: author.lastIssue)
        let third = try required(restarted.write(Self.content, time: 10))
        #expect(third.issue > second.issue)
        #expect(third.process.began > second.process.began)
    }

    @Test func `a record is written when something is new, and before the last one expires`() throws {
        var author = Self.author()
        #expect(author.write(Self.content, time: 1_000) != nil)
        #expect(author.write(Self.content, time: 1_001) == nil)
        var other = Self.content
        other.roles = .relay
        #expect(author.write(other, time: 1_001)?.roles == .relay)
        #expect(author.write(other, time: 1_001 + RecordAuthor.renewal - 1) == nil)
        let renewed = try required(author.write(other, time: 1_001 + RecordAuthor.renewal))
        #expect(renewed.expires > 1_001 + Int64(RecordAuthor.lifetime))
    }

    /// Each hears of the other's latest record, until nobody has anything new; the one that has to stop.
    static func settle(_ one: inout RecordAuthor, _ other: inout RecordAuthor, time: Int64) throws -> Int? {
        var latest = [
            try required(one.write(content, time: time, force: true)),
            try required(other.write(content, time: time, force: true)),
        ]
        for round in 1...4 {
            let time = time + Int64(round) * 60
            // Others keep the higher number alone.
            let top = latest[0].issue > latest[1].issue ? 0 : 1
            let finding = top == 1 ? one.found(latest[1]) : other.found(latest[0])
            switch finding {
            case .own: return nil
            case .superseded: return 1 - top
            case .writeAnew where top == 1: latest[0] = try required(one.write(content, time: time, force: true))
            case .writeAnew: latest[1] = try required(other.write(content, time: time, force: true))
            }
        }
        return nil
    }

    @Test(arguments: [-90_000, -1_000, 0, 1_000, 90_000] as [Int64])
    func `of two processes with one key the later goes on and the older stops, whatever the clocks say`(
        laterIsAhead: Int64
    ) throws {
        // The later one's own clock shows in the numbers of its records, not in when it began.
        var (older, later) = (Self.author(1, began: 1), Self.author(2, began: 2))
        _ = try required(later.write(Self.content, time: 200_000 + laterIsAhead))
        #expect(try Self.settle(&older, &later, time: 200_000) == 0)
        var (former, next) = (Self.author(1, began: 2), Self.author(2, began: 1))
        _ = try required(next.write(Self.content, time: 200_000 + laterIsAhead))
        #expect(try Self.settle(&former, &next, time: 200_000) == 1)
    }

    @Test func `news wait for a minute after four records, and an answer to another process has two more`() throws {
        var author = Self.author(1, began: 1)
        for number in 0..<RecordAuthor.perMinute {
            var content = Self.content
            content.note = "\(number)"
            #expect(author.write(content, time: 1_000) != nil)
        }
        #expect(author.write(Self.content, time: 1_001) == nil)
        var last = try required(author.write(Self.content, time: 1_001, force: true))
        last = try required(author.write(Self.content, time: 1_002, force: true))
        #expect(author.write(Self.content, time: 1_003, force: true) == nil)
        #expect(try required(author.write(Self.content, time: 1_060, force: true)).issue > last.issue)
    }

    @Test func `all that two processes with one key write in a minute is taken by others`() throws {
        var table = RecordTable()
        let seal = Seal(1)
        let all = 2 * (RecordAuthor.perMinute + RecordAuthor.answersPerMinute)
        for issue in 1...UInt64(all) {
            let verdict = RecordTableTests.take(&table, seal.record(issue: issue))
            #expect(verdict == (issue == 1 ? .added : .renewed))
        }
    }

    @Test func `what a later process has left behind stops nobody, as long as that does not answer`() throws {
        var stopped = Self.author(1, began: 9)
        let left = try required(stopped.write(Self.content, time: 5_000))
        var author = Self.author(2, began: 3)
        #expect(author.found(left) == .writeAnew)
        let above = try required(author.write(Self.content, time: 1_000))
        #expect(above.issue > left.issue)
        #expect(author.found(left) == .own)
        // It is there after all.
        #expect(stopped.found(above) == .writeAnew)
        #expect(author.found(try required(stopped.write(Self.content, time: 5_001, force: true))) == .superseded)
    }

    @Test func `two processes that begin in one second have records with two numbers`() throws {
        var (one, other) = (Self.author(7_005), Self.author(9_010))
        let first = try required(one.write(Self.content, time: 1_000))
        let second = try required(other.write(Self.content, time: 1_000))
        #expect(first.issue == 1_000_005 && second.issue == 1_000_010)
        // Nor do they stop both of them.
        #expect(try Self.settle(&one, &other, time: 2_300) == 0)
    }

    @Test func `a process that forgot its numbers goes above what others remember`() throws {
        var former = Self.author(1)
        let left = try required(former.write(Self.content, time: 2_000))
        var author = Self.author(2, began: 2)
        #expect(author.found(left) == .writeAnew)
        #expect(try required(author.write(Self.content, time: 1_000)).issue > left.issue)
        #expect(author.found(left) == .own)
    }
}
