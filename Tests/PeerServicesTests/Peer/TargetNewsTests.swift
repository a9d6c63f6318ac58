import PeerReactor
import Testing

@testable import PeerServices

@Suite("What the log says of targets", .serialized, .timeLimit(.minutes(1)))
final class TargetNewsTests {
    private let time = OwnedTime()
    private let log = LogLines()
    private let news: OnLoop<TargetNews>

    init() throws {
        let loop = try time.loop()
        news = try OnLoop(on: loop) { [log] in TargetNews(on: loop, log.logger) }
    }

    deinit { time.stop() }

    private func lines(_ count: Int) throws -> [String] {
        try time.eventually("said", within: .seconds(2)) { log.all.count >= count }
        try time.throughout(.seconds(1), "all there is") { log.all.count == count }
        return log.all
    }

    @Test("one is named, with the reason")
    func one() throws {
        try news.run { $0.silent("127.0.0.1:80", "connection refused", isMany: false) }
        #expect(
            try lines(1) == [
                "warning: 127.0.0.1:80 does not answer (connection refused); visitors are refused until it does"
            ])
    }

    @Test("of one that only a visitor can try again, it is not said that visitors are refused")
    func triedAgain() throws {
        try news.run { $0.silent("127.0.0.9:9", "connection refused", isMany: false, isTriedAgain: true) }
        #expect(
            try lines(1) == [
                "warning: 127.0.0.9:9 does not answer (connection refused); a later visitor tries it again"
            ])
    }

    @Test("several ports of one mapping are they")
    func ports() throws {
        try news.run { $0.silent("127.0.0.1:80-82", "connection refused", isMany: true) }
        #expect(
            try lines(1) == [
                "warning: 127.0.0.1:80-82 do not answer (connection refused); visitors are refused until they do"
            ])
    }

    @Test("many that fall silent together stand in one line, which names five")
    func many() throws {
        try news.run { news in
            for port in 1...7 { news.silent("127.0.0.1:\(port)", "connection refused", isMany: false) }
        }
        let line = try #require(try lines(1).first)
        #expect(line.hasPrefix("warning: 7 targets do not answer (127.0.0.1:1, 127.0.0.1:2,"))
        #expect(line.contains("127.0.0.1:5 and 2 more"))
    }

    @Test("those that answer again stand in a line of their own")
    func again() throws {
        try news.run { news in
            news.silent("127.0.0.1:1", "connection refused", isMany: false)
            news.answers("127.0.0.1:2", isMany: false)
            news.answers("127.0.0.1:3", isMany: false)
        }
        #expect(try lines(2).last == "info: 2 targets answer again (127.0.0.1:2, 127.0.0.1:3)")
    }

    @Test("one that is back before it was said to be away is not said to be away")
    func flicker() throws {
        try news.run { news in
            news.silent("127.0.0.1:1", "connection refused", isMany: false)
            news.answers("127.0.0.1:1", isMany: false)
        }
        #expect(try lines(1) == ["info: 127.0.0.1:1 answers again"])
    }
}
