import Foundation
import P2PRCKit
import PeerCore
import PeerWire
import Testing

/// The configuration first, then the flags.
@Suite final class NodeSettingsTests {
    let home = FileManager.default.temporaryDirectory.appending(path: "p2prc-settings-\(UInt64.random(in: 0 ... .max))")

    init() throws { try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: home) }

    func load(_ config: String? = nil) throws -> NodeSettings {
        if let config { try Data(config.utf8).write(to: home.appending(path: "config.toml")) }
        return try NodeSettings.load(home: home.path)
    }

    func networks(_ texts: String...) throws -> [Network] { try texts.map { try Network($0) } }

    @Test func `without a file, and without a home, there are the defaults`() throws {
        #expect(try load().config == NodeSettings(home: home.path).config)
        let missing = try NodeSettings.load(home: home.path + "/none")
        #expect(missing.serverPort == NodeSettings.defaultServerPort && !missing.isOpen && !missing.isPlain)
        #expect(!FileManager.default.fileExists(atPath: home.path + "/none"))
    }

    @Test func `what the file says holds until a flag says otherwise`() throws {
        var settings = try load(
            """
            name = "office"
            server_port = 9000
            bind = "127.0.0.1"
            advertise = "relay.example.org"
            ports = "30000-30009"
            open = true
            plain = true
            lease_hours = 2
            [visitors]
            allow = ["10.0.0.0/8"]
            deny = ["10.1.0.0/16"]
            [peers]
            deny = ["192.0.2.0/24"]
            [limits]
            leases = 7
            """)
        #expect(settings.name == "office" && settings.serverPort == 9_000 && settings.advertised == "relay.example.org")
        #expect(settings.bind?.isLoopback == true && settings.isOpen && settings.isPlain)
        #expect(settings.relayPolicy.ports == PublicPorts("30000-30009"))
        #expect(settings.relayPolicy.leaseSeconds == 7_200)
        #expect(settings.relayPolicy.membershipLimits.leases == 7)
        #expect(settings.relayPolicy.membershipLimits.keys == RelayCore.Policy.usualLimits.keys)

        try settings.setServerPort("9001")
        try settings.setPorts(["31000", "80, 443"])
        try settings.setVisitors(allow: ["192.0.2.0/24", "2001:db8::/32"], deny: [])
        try settings.setPeers(allow: [], deny: ["198.51.100.1"])
        #expect(settings.serverPort == 9_001 && settings.relayPolicy.ports == PublicPorts("80,443,31000"))
        #expect(
            try settings.config.visitors
                == NetworkFilter(allow: networks("192.0.2.0/24", "2001:db8::/32"), deny: networks("10.1.0.0/16")))
        #expect(try settings.config.peers == NetworkFilter(deny: networks("198.51.100.1")))
    }

    @Test(arguments: [
        ("open = 5", "line 1: open"), ("bind = \"here\"", "bind here: write a numeric address"),
        ("advertise = \"a b\"", "advertise a b: write a name"), ("colour = 1", "there is no key colour"),
    ]) func `what is wrong in the file is damage, in one line with its path`(text: String, culprit: String) throws {
        let error = try #require(throws: CommandError.self) { try self.load(text) }
        #expect(error.status == .damaged)
        #expect(error.text.hasPrefix("\(home.path)/config.toml: ") && error.text.contains(culprit), "\(error.text)")
        #expect(!error.text.contains("\n"))
    }

    @Test func `a wrong network is a usage error with the flag`() throws {
        var settings = try load()
        var error = try #require(throws: CommandError.self) { try settings.setPeers(allow: [], deny: ["10.0.0.1/8"]) }
        #expect(error.status == .usage && error.text.hasPrefix("--deny-peers 10.0.0.1/8: "))
        try settings.setVisitors(allow: ["any"], deny: [])
        #expect(settings.config.visitors.allow.isEmpty, "in the place of what the file says")
        error = try #require(throws: CommandError.self) { try settings.setPeers(allow: ["any", "::1"], deny: []) }
        #expect(error.status == .usage && error.text.contains("leave the other networks out"))
        error = try #require(throws: CommandError.self) { try MappingRequest("80", allow: ["x"]) }
        #expect(error.status == .usage && error.text.hasPrefix("--allow x: "))
        let many = (0..<65).map { "10.0.0.\($0)" }
        error = try #require(throws: CommandError.self) { try MappingRequest("80", deny: many) }
        #expect(error.status == .usage && error.text.contains("at most 64"))
        #expect(try MappingRequest("80", deny: many.dropLast()).deny.count == 64)
    }

    @Test func `a name that others are told is short and on one line`() throws {
        #expect(try MappingRequest("80").tell == nil && MappingRequest("80", tell: "").tell == "")
        #expect(try MappingRequest("80", tell: String(repeating: "ü", count: 32)).tell?.utf8.count == 64)
        for name in [String(repeating: "x", count: 65), "two\nlines", "\u{1b}[31m"] {
            let error = try #require(throws: CommandError.self) { try MappingRequest("80", tell: name) }
            #expect(error.status == .usage && error.text.hasPrefix("--tell ") && error.text.contains("64 bytes"))
            #expect(!error.text.contains("\n") && !error.text.contains("\u{1b}"))
        }
        // Asked by a command of an older version, which says nothing about it.
        var bytes = try JSONEncoder().encode(MappingRequest("80", tell: "web"))
        #expect(try JSONDecoder().decode(MappingRequest.self, from: bytes).tell == "web")
        var text = String(decoding: bytes, as: UTF8.self)
        for part in [#","tell":"web""#, #""tell":"web","#] { text = text.replacing(part, with: "") }
        bytes = Data(text.utf8)
        #expect(try JSONDecoder().decode(MappingRequest.self, from: bytes).tell == nil)
    }

    @Test(arguments: [
        ("5000/udp", "write --mp 5000 --udp"), ("192.168.1.5:53/UDP", "write --mp 192.168.1.5:53 --udp"),
        ("5000:6000/udp", "write --mp 5000:6000 --udp"), ("8080/tcp", "write --mp 8080"),
        ("5003-5000", "the range 5003-5000 is backwards; write 5000-5003"),
        ("5000-5003:6003-6000", "the range 6003-6000 is backwards; write 6000-6003"),
    ]) func `a slip in what to expose is named, with what was meant`(text: String, advice: String) throws {
        let error = try #require(throws: CommandError.self) { try MappingRequest(text) }
        #expect(error.status == .usage && error.text.hasSuffix(advice), "\(error.text)")
    }

    @Test func `ports are for TCP, for UDP or for both, by one flag`() throws {
        #expect(try MappingRequest.protocols(udp: false, both: false) == nil)
        #expect(try MappingRequest.protocols(udp: true, both: false) == .udp)
        #expect(try MappingRequest.protocols(udp: false, both: true) == [.tcp, .udp])
        let error = try #require(throws: CommandError.self) { try MappingRequest.protocols(udp: true, both: true) }
        #expect(error.status == .usage && error.text.hasSuffix("write one of them"))
    }

    @Test func `a relay that carries no UDP says so beside its ports`() throws {
        var settings = try load()
        try settings.setPorts(["30000-30010"])
        #expect(settings.publicPorts == "public ports 30000-30010")
        settings.config.carriesDatagrams = false
        #expect(settings.publicPorts == "public ports 30000-30010 for TCP alone (no UDP)")
    }

    @Test func `how a target is told of its visitors is v1, v2 or off, and v2 or off for datagrams`() throws {
        #expect(try MappingRequest.proxyProtocol(nil, for: .udp) == nil)
        #expect(try MappingRequest.proxyProtocol("v1", for: nil) == .v1)
        for protocols: TransportProtocols? in [nil, .tcp, .udp, [.tcp, .udp]] {
            #expect(try MappingRequest.proxyProtocol("v2", for: protocols) == .v2)
            #expect(try MappingRequest.proxyProtocol("off", for: protocols) == .off)
        }
        let wrong: [(String, TransportProtocols?, String)] = [
            ("v3", nil, "write v1 or v2"), ("v1", .udp, "datagrams"), ("v1", [.tcp, .udp], "v2"),
        ]
        for (text, protocols, word) in wrong {
            let error = try #require(throws: CommandError.self) {
                try MappingRequest.proxyProtocol(text, for: protocols)
            }
            #expect(error.status == .usage && error.text.contains(word) && !error.text.contains("\n"))
        }
        var request = try MappingRequest("53")
        request.proxyProtocol = .v2
        #expect(try JSONDecoder().decode(MappingRequest.self, from: JSONEncoder().encode(request)) == request)
    }

    @Test func `a mapping's visitors pass the control socket`() throws {
        let request = try MappingRequest("80", allow: ["10.0.0.0/8", "::1"], deny: ["10.1.0.0/16"])
        let bytes = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(MappingRequest.self, from: bytes) == request)
        #expect(String(decoding: bytes, as: UTF8.self).contains("\"::1\""))
    }

    @Test func `the reserve is the configuration's, of what the machine has`() throws {
        let gate = try load("[reserve]\ndescriptors = 10\nbuffers = \"1kB\"").reserveGate(openFiles: 100, memory: 5_000)
        #expect(gate.descriptors.limit == 100 && gate.descriptors.reserve == 10)
        #expect(gate.buffers.limit == 5_000 && gate.buffers.reserve == 1_000)
    }
}
