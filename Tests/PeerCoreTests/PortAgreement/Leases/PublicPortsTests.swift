import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct PublicPortsTests {
    @Test(arguments: [
        ("80,443,20000-29999", "80, 443, 20000-29999", "20000-29999"), ("443", "443", "443"),
        ("30-39,20-29,5-24", "5-39", "5-39"), (" 9 , 1-2 ,5-6", "1-2, 5-6, 9", "1-2"),
        ("1-65535", "1-65535", "1-65535"),
    ]) func `ranges are read in any order, and the widest is the usual one`(text: String, shown: String, usual: String)
    {
        let ports = PublicPorts(text)
        #expect(ports?.description == shown && ports?.usual.description == usual)
        #expect(PublicPorts(shown) == ports)
    }

    @Test(arguments: ["", ",", "80,", "0-9", "9-1", "80;81", "8 0", "70000", "-5", "80--90", "+80"])
    func `anything else is refused`(text: String) { #expect(PublicPorts(text) == nil) }

    @Test func `a range has to lie in one of them`() {
        let ports = PublicPorts("80,90-99")
        #expect(ports?.contains(.only(80)) == true && ports?.contains(PortRange(first: 90, last: 99)!) == true)
        #expect(ports?.contains(PortRange(first: 80, last: 90)!) == false && ports?.contains(.only(100)) == false)
    }

    @Test func `any port is one of the widest range, others are for who names them or has a token for them`() {
        var policy = RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_002)!)
        policy.ports = PublicPorts("80,443,1000-1002")!
        let tests = RelayGrantTests()
        tests.bench = RelayBench(policy)
        _ = tests.start(1, key: 1, .mesh)
        #expect(tests.agree(1, 1, .exactly(.only(443))) == .ports(.only(443)))
        #expect(tests.agree(1, 2, .preferably(.only(80))) == .ports(.only(80)))
        for mapping in UInt64(3)...5 {
            guard case .ports(let ports) = tests.agree(1, mapping, .any(count: 1)) else { return #expect(Bool(false)) }
            #expect((1_000...1_002).contains(ports.first))
        }
        #expect(tests.agree(1, 6, .any(count: 1)) == .refused(.noPortFree))
        #expect(tests.agree(1, 7, .exactly(.only(444))) == .refused(.portNotAllowed))
        _ = tests.say(1, .release(.number(1)))
        _ = tests.start(2, key: 2, .token("t", ports: [.only(443)]))
        #expect(tests.agree(2, 1, .any(count: 1)) == .ports(.only(443)))
    }
}
