import PeerCore
import PeerWire
import Testing

@Suite struct AddressVoteTests {
    private static let own = HostAddress("203.0.113.11")!
    private static let inside = HostAddress("10.2.0.2")!

    private static func host(
        _ voices: [(source: String, dialled: String)], local: HostAddress = own, likeliest: HostAddress? = own
    ) -> String? {
        var vote = AddressVote()
        for voice in voices { vote.heard(from: HostAddress(voice.source)!, dialled: voice.dialled, local: local) }
        return vote.host(likeliest: likeliest)?.description
    }

    @Test func `one member is shown by its socket, whatever it says`() {
        #expect(Self.host([]) == nil)
        for word in ["203.0.113.11", "poison.example.net", "198.51.100.66", "", "a/b"] {
            #expect(Self.host([("198.51.100.7", word)]) == "203.0.113.11", "\(word)")
        }
    }

    @Test func `an address that is none of this machine's takes more than half of the networks, and two`() {
        let nat = "192.0.2.22"
        func host(_ voices: [(String, String)]) -> String? {
            Self.host(voices.map { (source: $0.0, dialled: $0.1) }, local: Self.inside, likeliest: Self.inside)
        }
        #expect(host([("198.51.100.7", nat)]) == "10.2.0.2")
        // One network, however many sessions it has.
        #expect(host([("198.51.100.7", nat), ("198.51.100.8", nat), ("198.51.100.9", nat)]) == "10.2.0.2")
        #expect(host([("198.51.100.7", nat), ("192.0.2.7", nat)]) == nat)
        #expect(host([("198.51.100.7", nat), ("192.0.2.7", nat), ("203.0.113.7", "10.2.0.2")]) == nat)
        let half = [("198.51.100.7", nat), ("192.0.2.7", nat), ("203.0.113.7", "10.2.0.2"), ("8.8.8.8", "10.2.0.2")]
        #expect(host(half) == "10.2.0.2")
        // Who says something else now is not counted twice.
        #expect(host([("198.51.100.7", nat), ("192.0.2.7", nat), ("192.0.2.8", "10.2.0.2")]) == "10.2.0.2")
    }

    @Test func `a public address of this machine goes before what a member came by from inside`() {
        let inside = Self.host([("10.2.0.9", "10.2.0.2")], local: Self.inside, likeliest: HostAddress("1.2.3.4")!)
        #expect(inside == "1.2.3.4")
        #expect(Self.host([("127.0.0.1", "127.0.0.1")], local: HostAddress("127.0.0.1")!) == "127.0.0.1")
    }

    @Test func `so many networks are remembered, the last ones`() {
        var vote = AddressVote()
        func heard(_ number: Int, _ dialled: String) {
            let source = HostAddress("10.\(number / 250).\(number % 250).1")!
            vote.heard(from: source, dialled: dialled, local: Self.inside)
        }
        for number in 0..<2_000 { heard(number, "192.0.2.22") }
        #expect(vote.host(likeliest: nil)?.description == "192.0.2.22")
        for number in 2_000..<2_200 { heard(number, "10.2.0.2") }
        #expect(vote.host(likeliest: nil) == Self.inside)
    }
}
