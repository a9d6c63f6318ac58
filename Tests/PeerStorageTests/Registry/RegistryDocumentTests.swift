import PeerCore
import PeerStorage
import PeerWire
import Testing

@Suite struct RegistryDocumentTests {
    @Test func `the list of relays has its keys in their order`() throws {
        let document = ServerRegistry(servers: [
            .example(1),
            .init(name: "", address: "a:1", latency: nil, state: .isSelf, key: nil, reason: "why", lastSeen: nil),
        ])
        #expect(
            try String(decoding: document.json(), as: UTF8.self) == """
                {
                  "reverse_proxy_servers": [
                    {
                      "Server_name": "relay 1",
                      "Address": "[2001:db8::1]:8088",
                      "Latency": 12.345,
                      "State": "connected",
                      "Key": "\(NodeKey.number(1))",
                      "Last_seen": "2030-03-17T17:46:40Z"
                    },
                    {
                      "Server_name": "",
                      "Address": "a:1",
                      "Latency": null,
                      "State": "self",
                      "Key": null,
                      "Reason": "why",
                      "Last_seen": null
                    }
                  ]
                }

                """)
        #expect(try ServerRegistry(json: document.json()) == document)
    }

    @Test func `the list of ports has its keys in their order`() throws {
        var bare = MappingRegistry.Mapping.example(1)
        (bare.address, bare.blindPort, bare.reason, bare.leaseExpires, bare.verifiedBy) = (nil, nil, nil, nil, [])
        (bare.peerName, bare.type, bare.state) = ("p", .tcp, .requested)
        let document = MappingRegistry(mappings: [.example(65_535), bare])
        #expect(
            try String(decoding: document.json(), as: UTF8.self) == #"""
                {
                  "reverse_proxy_mappings": [
                    {
                      "Server_name": "relay",
                      "Address": "203.0.113.7",
                      "Type": "UDP",
                      "blind_port": 65535,
                      "State": "target-down",
                      "Target": "server port",
                      "Mapping": "00000000000000ff",
                      "Relay": "203.0.113.7:8088",
                      "Role": "relay",
                      "Peer_name": "lap\u001btop \"ü\"\\\n",
                      "Peer_key": "\#(NodeKey.number(1))",
                      "Verified_by": [
                        "a",
                        "b"
                      ],
                      "Reason": "nobody listens",
                      "Lease_expires": "2030-03-17T17:46:40Z"
                    },
                    {
                      "Server_name": "relay",
                      "Address": null,
                      "Type": "TCP",
                      "blind_port": null,
                      "State": "requested",
                      "Target": "server port",
                      "Mapping": "00000000000000ff",
                      "Relay": "203.0.113.7:8088",
                      "Role": "relay",
                      "Peer_name": "p",
                      "Peer_key": "\#(NodeKey.number(1))",
                      "Verified_by": []
                    }
                  ]
                }

                """#)
        #expect(try MappingRegistry(json: document.json()) == document)
    }

    @Test(arguments: [ProxyProtocol.v1, .v2])
    func `how a target is told of visitors is the last key, and left out where it is not`(
        version: ProxyProtocol
    ) throws {
        var row = MappingRegistry.Mapping.example(1)
        (row.type, row.proxyProtocol) = (.tcp, version)
        let document = MappingRegistry(mappings: [row])
        let json = try String(decoding: document.json(), as: UTF8.self)
        let expected = "\"Lease_expires\": \"2030-03-17T17:46:40Z\",\n      \"Proxy_protocol\": \"\(version)\"\n"
        #expect(json.contains(expected))
        #expect(try MappingRegistry(json: Array(json.utf8)) == document)
        row.proxyProtocol = .off
        #expect(try !String(decoding: MappingRegistry(mappings: [row]).json(), as: UTF8.self).contains("Proxy"))
        // The first version has no form for datagrams, and such a row costs itself alone.
        (row.type, row.proxyProtocol) = (.udp, version)
        var judged = MappingRegistry(mappings: [row, .example(2)])
        let faults = judged.leaveOutMisfits().map(\.field)
        #expect(faults == (version == .v1 ? ["reverse_proxy_mappings.Proxy_protocol"] : []))
        #expect(judged.mappings.count == (version == .v1 ? 1 : 2))
    }

    @Test(arguments: [
        (0, "0"), (1, "0.001"), (999, "0.999"), (12_300, "12.3"), (20_000, "20"), (86_400_000_000, "86400000"),
    ])
    func `a latency has at most three decimals`(microseconds: UInt64, text: String) throws {
        var server = ServerRegistry.Server.example(1)
        server.latency = Instant.Span(nanoseconds: microseconds * 1_000 + 999)
        let json = try String(decoding: ServerRegistry(servers: [server]).json(), as: UTF8.self)
        #expect(json.contains("\"Latency\": \(text),"))
        #expect(try ServerRegistry(json: Array(json.utf8)).servers[0].latency == .microseconds(microseconds))
    }

    @Test(arguments: [
        ("a:1", true), ("relay.example:65535", true), ("203.0.113.7:8088", true), ("[::1]:80", true),
        ("[fe80::1%eth0]:80", true), ("[::ffff:203.0.113.7]:80", true), ("a", false), ("a:", false), (":80", false),
        ("a:0", false), ("a:65536", false), ("a:080", false), ("a:+80", false), ("::1:80", false), ("[::1]", false),
        ("[]:80", false), ("[a]:80", false), ("[:]:80", false), ("a b:80", false),
        ("http://a:80", false), ("a:80/", false), ("", false),
    ])
    func `an address is a host and a port`(text: String, isRight: Bool) {
        var server = ServerRegistry.Server.example(1)
        server.address = text
        let document = ServerRegistry(servers: [.example(1), server])
        #expect(((try? document.validate()) != nil) == isRight)
        if !isRight {
            let fault = #expect(throws: RegistryFault.self) { try document.json() }
            #expect(fault?.field == "reverse_proxy_servers[1].Address")
        }
    }

    @Test func `a row that no file may hold is left out, and the others stay`() throws {
        var (host, target) = (MappingRegistry.Mapping.example(1), MappingRegistry.Mapping.example(2))
        (host.address, target.target) = ("a/b", "")
        var document = MappingRegistry(mappings: [host, .example(3), target])
        #expect(
            document.leaveOutMisfits().map(\.field) == [
                "reverse_proxy_mappings.Address", "reverse_proxy_mappings.Target",
            ])
        #expect(document == MappingRegistry(mappings: [.example(3)]))
        #expect(document.leaveOutMisfits().isEmpty)
        #expect(try MappingRegistry(json: document.json()) == document)
    }

    @Test func `what does not show is escaped, and read back as it was`() throws {
        var server = ServerRegistry.Server.example(1)
        server.name = "a\u{202e}b\u{200b}\u{e0041}ü"
        let json = try String(decoding: ServerRegistry(servers: [server]).json(), as: UTF8.self)
        #expect(json.contains(#""a\u202eb\u200b\udb40\udc41ü""#))
        #expect(try ServerRegistry(json: Array(json.utf8)).servers == [server])
    }

    @Test(arguments: [
        ("203.0.113.7", true), ("relay.example", true), ("::1", true), ("2001:db8::7", true), ("a:1", false),
        ("[::1]", false), ("", false), ("a b", false), ("a/b", false),
    ])
    func `what a visitor dials is a host without a port`(text: String, isRight: Bool) {
        var mapping = MappingRegistry.Mapping.example(1)
        mapping.address = text
        #expect(((try? MappingRegistry(mappings: [mapping]).validate()) != nil) == isRight)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"), (951_782_400, "2000-02-29T00:00:00Z"),
        (1_900_000_000, "2030-03-17T17:46:40Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"), (-62_135_596_800, "0001-01-01T00:00:00Z"),
    ])
    func `a time is written and read as RFC 3339`(seconds: Int64, text: String) {
        #expect(WallTime(seconds: seconds).rfc3339 == text)
        #expect(WallTime(rfc3339: text) == WallTime(seconds: seconds))
    }

    @Test(arguments: [
        "", "2030-02-30T00:00:00Z", "2030-00-10T00:00:00Z", "2030-13-10T00:00:00Z", "2029-02-29T00:00:00Z",
        "2030-01-01T24:00:00Z", "2030-01-01T00:60:00Z", "2030-01-01 00:00:00Z", "2030-01-01T00:00:00z",
        "2030-01-01T00:00:0:Z", "0000-01-01T00:00:00Z", "2030-01-01T00:00:00+", "2030-1-001T00:00:00Z",
        "ÄÄÄÄÄÄÄÄÄÄ",
    ])
    func `what is no time is not read as one`(text: String) { #expect(WallTime(rfc3339: text) == nil) }

    @Test func `times that the format cannot say become the nearest that it can`() {
        #expect(WallTime(seconds: .max).rfc3339 == "9999-12-31T23:59:59Z")
        #expect(WallTime(seconds: .min).rfc3339 == "0001-01-01T00:00:00Z")
    }

    @Test func `every day of four centuries survives the way there and back`() {
        for day in stride(from: Int64(-60_000), through: 90_000, by: 1) {
            let time = WallTime(seconds: day * 86_400 + 45_296)
            if WallTime(rfc3339: time.rfc3339) != time { Issue.record("\(time.rfc3339)") }
        }
    }
}
