import PeerCore
import Testing

struct LineBudgetTests {
    private func budget(each: Int = 3, all: Int = 100, maximumCauses: Int = 8) -> LineBudget {
        LineBudget(
            each: .init(burst: each, interval: .seconds(5)), all: .init(burst: all, interval: .seconds(1)),
            maximumCauses: maximumCauses)
    }

    @Test func `a cause has its burst, then one line an interval that says how many were left out`() {
        var budget = budget()
        let start = Instant.zero + .seconds(100)
        for number in 1...3 { #expect(budget.offer("line \(number)", of: "a", at: start) == "line \(number)") }
        for number in 4...10 { #expect(budget.offer("line \(number)", of: "a", at: start) == nil) }
        // Another cause does not suffer.
        #expect(budget.offer("other", of: "b", at: start) == "other")
        #expect(budget.offer("line 11", of: "a", at: start + .seconds(5)) == "line 11 (and 7 more like it)")
        #expect(budget.offer("line 12", of: "a", at: start + .seconds(5)) == nil)
    }

    @Test func `the latest that was left out comes by itself when there is room`() {
        var budget = budget()
        let start = Instant.zero + .seconds(100)
        #expect(budget.nextDue == nil)
        for number in 1...10 { _ = budget.offer("line \(number)", of: "a", at: start) }
        #expect(budget.nextDue == start + .seconds(5))
        #expect(budget.due(at: start + .seconds(4)) == [])
        #expect(budget.due(at: start + .seconds(5)) == ["line 10 (and 6 more like it)"])
        #expect(budget.nextDue == nil && budget.due(at: start + .seconds(60)) == [])
    }

    @Test func `however fast and long it goes on, the lines of a minute are bounded`() {
        var budget = LineBudget()
        var written = 0
        // A hundred a second from each of five causes, for ten minutes.
        for step in 0..<60_000 {
            let now = Instant.zero + .milliseconds(UInt64(step) * 10)
            for cause in 0..<5 where budget.offer("line", of: "\(cause)", at: now) != nil { written += 1 }
        }
        // 20 at once and 12 a minute of each.
        #expect(written >= 5 * 120 && written <= 5 * (20 + 10 * 12 + 1), "\(written)")
        var bursts = LineBudget()
        let now = Instant.zero + .seconds(10)
        let all = (0..<400).reduce(0) { sum, cause in
            sum + (0..<20).count { _ in bursts.offer("line", of: "\(cause)", at: now) != nil }
        }
        #expect(all == LineBudget.Allowance.all.burst)
    }

    @Test func `many that are loud leave half of the lines for all to those that are quiet`() {
        var budget = budget(each: 8, all: 20, maximumCauses: 100)
        let start = Instant.zero + .seconds(100)
        // A minute of ten causes that would write a hundred lines a second each.
        for step in 0..<6_000 {
            let now = start + .milliseconds(UInt64(step) * 10)
            for cause in 0..<10 { _ = budget.offer("loud", of: "\(cause)", at: now) }
            _ = budget.due(at: now)
            // Somebody else has something to say once in a while.
            if step % 1_500 == 1_499 { #expect(budget.offer("quiet \(step)", of: "other", at: now) == "quiet \(step)") }
        }
    }

    @Test func `what is urgent is not held back by what others write`() {
        var budget = budget(all: 2)
        let now = Instant.zero + .seconds(10)
        for cause in ["a", "b"] { #expect(budget.offer("line", of: cause, at: now) != nil) }
        #expect(budget.offer("line", of: "c", at: now) == nil)
        #expect(budget.offer("error", of: "d", isUrgent: true, at: now) == "error")
        // It has its own limit.
        for _ in 0..<2 { _ = budget.offer("error", of: "d", isUrgent: true, at: now) }
        #expect(budget.offer("error", of: "d", isUrgent: true, at: now) == nil)
    }

    @Test func `causes are bounded, and those that were quiet are forgotten`() {
        var budget = budget(each: 2, maximumCauses: 4)
        let now = Instant.zero + .seconds(10)
        for cause in 0..<4 { #expect(budget.offer("line", of: "\(cause)", at: now) != nil) }
        // The others share one.
        let shared = (4..<20).count { budget.offer("line", of: "\($0)", at: now) != nil }
        #expect(shared == 2)
        let later = now + .seconds(60)
        for cause in 20..<23 { #expect(budget.offer("line", of: "\(cause)", at: later) == "line") }
    }

    @Test func `at the end all that was left out is told`() {
        var budget = budget()
        let now = Instant.zero + .seconds(10)
        for number in 1...5 { _ = budget.offer("line \(number)", of: "a", at: now) }
        for number in 1...4 { _ = budget.offer("word \(number)", of: "b", at: now) }
        #expect(budget.rest() == ["line 5 (and 1 more like it)", "word 4"])
        #expect(budget.rest() == [])
    }
}

struct LineBacklogTests {
    @Test func `lines are taken in order, all at once`() {
        var backlog = LineBacklog(capacity: 100) { "\($0) lost" }
        #expect(backlog.isEmpty && backlog.take().isEmpty)
        for line in ["one", "two"] { backlog.add(line) }
        #expect(!backlog.isEmpty && backlog.take() == Array("one\ntwo\n".utf8) && backlog.isEmpty)
    }

    @Test func `a full one says where lines are missing, and how many`() {
        var backlog = LineBacklog(capacity: 20) { "\($0) lost" }
        for line in ["0123456789", "abcdef", "x", "y", "z"] { backlog.add(line) }
        #expect(backlog.take() == Array("0123456789\nabcdef\nx\n".utf8))
        // Nothing came after them: they are told all the same.
        #expect(!backlog.isEmpty && backlog.take() == Array("2 lost\n".utf8) && backlog.isEmpty)
        for line in ["0123456789012345", "lost", "lost"] { backlog.add(line) }
        _ = backlog.take()
        backlog.add("next")
        #expect(backlog.take() == Array("2 lost\nnext\n".utf8))
    }

    @Test func `a line of any length has a bound, and is cut between characters`() {
        var backlog = LineBacklog(capacity: 1 << 20) { "\($0) lost" }
        backlog.add(String(repeating: "ä", count: 100_000))
        let text = String(decoding: backlog.take(), as: UTF8.self)
        #expect(text.utf8.count <= LineBacklog.maximumLine && text.hasSuffix("ä…\n"), "\(text.suffix(10))")
    }
}
