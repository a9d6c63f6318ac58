import PeerWire
import Testing

@Suite struct HostTextTests {
    static let hosts = [
        "a", "relay.example.org", "a_b", "it's", "192.0.2.7", "::1", "2001:db8::7", "fe80::1%eth0", "::ffff:192.0.2.1",
        String(repeating: "a", count: 253),
    ]
    static let others = [
        "", "a/b", "a b", "[::1]", "a:1", "büro", "a\u{200b}", "a\n", "::1%", "::1%a:b", ":::", "1::2::3",
        String(repeating: "a", count: 254),
    ]

    @Test func `a host is a name or an address, without port and brackets`() {
        for host in Self.hosts { #expect(HostText.isHost(host), "\(host)") }
        for text in Self.others { #expect(!HostText.isHost(text), "\(text)") }
    }

    @Test func `a target is the server port, or a host with a port for each of the mapping's`() {
        for host in Self.hosts {
            let text = host.contains(":") ? "[\(host)]:80" : "\(host):80"
            #expect(HostText.isTarget(text, count: 1), "\(text)")
            #expect(HostText.parts(text)?.host == host)
        }
        for host in Self.others where host != "[::1]" { #expect(!HostText.isTarget("\(host):80", count: 1), "\(host)") }
        #expect(HostText.isTarget("server port", count: 1))
        #expect(HostText.isTarget("a:65535", count: 1) && !HostText.isTarget("a:65535", count: 2))
        for text in ["", "a", "a:", "a:0", "a:65536", "a:+1", "a:80 ", "server port ", "127.0.0.1:7001  verified  tls"]
        {
            #expect(!HostText.isTarget(text, count: 1), "\(text)")
        }
    }

    @Test func `a request without a target, and ports for a host that is none, are breaches`() throws {
        let request = Samples.messages.first { $0.name == "request-any" }!.message.frame
        let active = Samples.messages.first { $0.name == "active" }!.message.frame
        // What does not show was taken out before.
        for text in Self.others where PlainText.isClean(text) || text.contains("\n") {
            #expect(wireError(of: MessageTests.frame(request, 6, Array("x\(text)y".utf8)))?.code == .malformedField)
            #expect(wireError(of: MessageTests.frame(active, 3, Array(text.utf8)))?.code == .malformedField)
        }
        #expect(wireError(of: request.with(request.fields.filter { $0.tag != 6 }))?.detail.contains("field 6 ") == true)
        #expect(wireError(of: active.with(active.fields.filter { $0.tag != 3 }))?.detail.contains("field 3 ") == true)
    }

    @Test func `an honest name with a joiner in it comes in without it`() throws {
        let frame = Samples.messages.first { $0.name == "introduction" }!.message.frame
        guard
            case .peer(.introduction(let introduction)) = try decoded(
                MessageTests.frame(frame, 2, Array("👩\u{200d}💻 home".utf8)))
        else { return #expect(Bool(false)) }
        #expect(introduction.name == "👩💻 home")
    }
}
