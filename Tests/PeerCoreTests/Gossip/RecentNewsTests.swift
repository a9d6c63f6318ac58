import PeerWire
import Testing

@testable import PeerCore

@Suite struct RecentNewsTests {
    private static func source(_ first: UInt8, _ second: UInt8 = 7) -> SourceKey {
        SourceKey(HostAddress(bytes: [first, second, 7, 7])!)
    }

    @Test func `the latest comes first`() {
        var news = RecentNews()
        for tag in 1...3 { news.add(UInt64(tag), from: Self.source(UInt8(tag)), renewals: 1) }
        #expect(news.tags == [3, 2, 1])
        news.add(1, from: Self.source(1), renewals: 1)
        #expect(news.tags == [1, 3, 2])
    }

    @Test func `each network has its latest before any has a second`() {
        var news = RecentNews()
        news.add(9, from: Self.source(9), renewals: 1)
        for tag in 1...5 { news.add(UInt64(tag), from: Self.source(1), renewals: 1) }
        #expect(news.tags.prefix(2) == [5, 9])
    }

    @Test func `what is renewed without end comes last, and goes first`() {
        var news = RecentNews()
        news.add(9_999, from: Self.source(200), renewals: 1)
        // Forty keys in forty networks, each twelve times.
        for renewals in 1...12 {
            for tag in 0..<40 { news.add(UInt64(tag), from: Self.source(UInt8(tag)), renewals: UInt16(renewals)) }
        }
        #expect(news.tags.first == 9_999)
        // And a network with more keys than there are places.
        for tag in 1_000..<1_100 { news.add(UInt64(tag), from: Self.source(201), renewals: 1) }
        #expect(news.tags.count == RecentNews.capacity)
        #expect(news.tags.prefix(2).contains(9_999))
    }
}
