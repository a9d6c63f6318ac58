import PeerCore
import PeerWire
import Testing

/// What a node makes of the names that a relay tells visitors.
@Suite struct ToldNameTests {
    private static let relay = HostAddress("203.0.113.7")!
    private static let other = HostAddress("198.51.100.9")!

    @Test func `a name is looked up once, whoever asks meanwhile waits, and then it is known where it leads`() {
        var told = ToldName()
        #expect(told.ask("relay.example", leadsTo: Self.relay, at: .zero) == .lookUp)
        #expect(told.ask("relay.example", leadsTo: Self.relay, at: .at(100)) == .wait)
        told.learnt("relay.example", [Self.other, Self.relay])
        #expect(told.ask("relay.example", leadsTo: Self.relay, at: .at(200)) == .known(leadsThere: true))
        #expect(told.ask("relay.example", leadsTo: HostAddress("10.0.0.1")!, at: .at(200)) == .known(leadsThere: false))
        // It may lead elsewhere by now.
        #expect(told.ask("relay.example", leadsTo: Self.relay, at: .at(60_000)) == .lookUp)
        told.learnt("relay.example", [Self.other])
        #expect(told.ask("relay.example", leadsTo: Self.relay, at: .at(60_001)) == .known(leadsThere: false))
    }

    @Test func `whatever names a relay tells, one is looked up in a minute`() {
        var told = ToldName()
        var lookedUp = 0
        for second in UInt64(0)..<600 {
            for name in ["a\(second).example", "b\(second).example"] {
                guard told.ask(name, leadsTo: Self.relay, at: .at(second * 1_000)) == .lookUp else { continue }
                lookedUp += 1
                told.learnt(name, [])
            }
        }
        #expect(lookedUp == 10)
    }

    @Test func `a word that comes late counts, one about another name does not`() {
        var told = ToldName()
        #expect(told.ask("slow.example", leadsTo: Self.relay, at: .zero) == .lookUp)
        told.learnt("slow.example", [])
        #expect(told.ask("slow.example", leadsTo: Self.relay, at: .at(3_000)) == .known(leadsThere: false))
        told.learnt("other.example", [Self.relay])
        #expect(told.ask("slow.example", leadsTo: Self.relay, at: .at(4_000)) == .known(leadsThere: false))
        told.learnt("slow.example", [Self.relay])
        #expect(told.ask("slow.example", leadsTo: Self.relay, at: .at(5_000)) == .known(leadsThere: true))
    }
}
