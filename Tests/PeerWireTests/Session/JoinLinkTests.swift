import PeerWire
import Testing

@Suite struct JoinLinkTests {
    static let link = JoinLink(address: "203.0.113.11:8088", relay: Samples.relay.key, meshKey: Samples.meshKey)

    @Test(arguments: [
        link, JoinLink(address: "[2001:db8::1]:8088", relay: Samples.relay.key, meshKey: Samples.meshKey),
        JoinLink(address: "relay.example.org", relay: Samples.relay.key, meshKey: nil),
    ]) func `a link is read as it was written`(link: JoinLink) {
        #expect(JoinLink(link.text) == link)
    }

    @Test func `cut off anywhere it is no link of a member`() {
        let text = Self.link.text
        for count in 0..<text.count {
            // All but one: without its last part, and the slash before it, it is the link of an open relay.
            let cut = JoinLink(String(text.prefix(count)))
            #expect(cut == nil || cut?.meshKey == nil && count == text.count - 65)
        }
        #expect(JoinLink(text + "0") == nil)
        #expect(JoinLink(text + "/") == nil)
    }

    @Test func `with any character changed it is another link or none`() {
        let text = Array(Self.link.text)
        for at in text.indices {
            var changed = text
            changed[at] = changed[at] == "7" ? "9" : "7"
            #expect(JoinLink(String(changed)) != Self.link)
        }
    }

    @Test func `a wrong digit anywhere in the keys is noticed, and a link of one case is as good as ever`() {
        let text = Array(Self.link.text)
        let keys = text.count - 129
        for at in text.indices.dropFirst(keys) where text[at] != "/" {
            for digit in "0123456789abcdefABCDEF" where digit != text[at] {
                var changed = text
                changed[at] = digit
                #expect(JoinLink.read(String(changed)) == .mistyped, "\(digit) at \(at)")
            }
        }
        #expect(JoinLink(Self.link.text.lowercased()) == Self.link, "as older versions write it")
        let shouted = String(text.prefix(keys)) + String(text.suffix(129)).uppercased()
        #expect(JoinLink(shouted) == Self.link)
        // The address may be mended by hand: a host behind NAT does not know its own.
        #expect(JoinLink(Self.link.text.replacing("203.0.113.11", with: "relay.example.org"))?.relay == Self.link.relay)
    }

    @Test func `the spelling of a link does not change`() {
        #expect(Self.link.text.lowercased().hasSuffix("/\(Samples.relay.key)/\(Samples.meshKey.text)"))
        let open = JoinLink(address: "a:1", relay: NodeKey(bytes: [UInt8](repeating: 0xab, count: 32))!, meshKey: nil)
        #expect(open.text == "p2prc://a:1/abAbaBABabaBAbAbaBababaBabABAbABABaBabABabABAbaBABabaBaBaBABabab")
    }

    @Test func `a mesh key stays out of logs`() {
        #expect("\(Samples.meshKey)" == "mesh key")
        #expect(MeshKey(Samples.meshKey.text) == Samples.meshKey)
    }
}
