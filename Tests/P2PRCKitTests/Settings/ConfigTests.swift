import Foundation
@testable import P2PRCKit
import PeerCore
import PeerStorage
import PeerWire
import Testing

@Suite struct ConfigTests {
    let folder = TestFolder()

    static let example = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../docs/config.example.toml").standardizedFileURL

    func fault(_ text: String) -> String {
        do {
            _ = try ConfigFile.parse(Array(text.utf8))
            return "no fault"
        } catch { return error.description }
    }

    func parse(_ text: String) throws -> NodeConfig { try ConfigFile.parse(Array(text.utf8)) }

    @Test func `no file, an empty one and one of remarks are the defaults`() throws {
        let paths = try Home.inspect(at: folder.path)
        #expect(try ConfigFile.load(paths) == NodeConfig())
        try folder.write("", to: "config.toml")
        #expect(try ConfigFile.load(paths) == NodeConfig())
        #expect(try parse("# nothing\n\n[limits]\n") == NodeConfig())
    }

    @Test func `a byte order mark at the start is passed over, and what cannot be seen is spelled`() throws {
        #expect(try parse("\u{feff}server_port = 18090\n").serverPort == 18_090)
        #expect(fault("\u{a0}server_port = 1").contains("U+00A0"))
        #expect(fault("server_port\u{200b} = 1").contains("U+200B"))
        #expect(fault("a\n\u{feff}b = 1").contains("\u{feff}") == false)
        #expect(try parse("name = \"a\u{200d}b\"").name == "ab")
    }

    @Test func `the example says the defaults`() throws {
        let text = try String(contentsOf: Self.example, encoding: .utf8)
        #expect(try parse(text) == NodeConfig())
    }

    @Test func `with its remarks taken for keys the example sets every key there is`() throws {
        let text = try String(contentsOf: Self.example, encoding: .utf8)
        let all = text.split(separator: "\n").map { line in
            line.firstMatch(of: #/^# ([a-z0-9_]+ = .*)$/#).map { String($0.1) } ?? String(line)
        }.joined(separator: "\n")
        let config = try parse(all)
        #expect(config.name == "office" && config.bind == "192.168.1.5" && config.advertise == "relay.example.org")
        #expect(config.ports == PublicPorts("20000-29999") && config.p2prcCompat == "0.0.0.0:8078")
        #expect(config.limits.connections == 10_000 && config.limits.connectionsPerSecond == 1_000)
        #expect(config.limits.bytesPerSecond == 10_000_000)
        #expect(
            config.datagrams.mapping.bytesPerSecond == 20_000_000 && config.datagrams.source.newFlowsPerSecond == 200)
        var keys: Set<String> = []
        var table = ""
        for line in all.split(separator: "\n") {
            if let match = line.firstMatch(of: #/^\[([a-z]+)\]/#) { table = "\(match.1)." }
            if let match = line.firstMatch(of: #/^([a-z0-9_]+) =/#) { keys.insert(table + String(match.1)) }
        }
        #expect(keys == Self.keys)
    }

    static let keys: Set = [
        "name", "server_port", "bind", "advertise", "ports", "open", "plain", "udp", "p2prc_compat", "relays",
        "hook", "lease_hours", "visitors.allow",
        "visitors.deny", "peers.allow", "peers.deny", "limits.keys", "limits.leases", "limits.mappings",
        "limits.connections", "limits.connections_per_second", "limits.bytes_per_second",
        "limits.datagrams_per_second", "datagrams.flows", "datagrams.flows_per_source", "datagrams.idle_unanswered",
        "datagrams.idle", "datagrams.per_second", "datagrams.bytes_per_second", "datagrams.new_flows_per_second",
        "datagrams.source_per_second", "datagrams.source_bytes_per_second", "datagrams.source_new_flows_per_second",
        "sources.handshakes_per_second", "sources.half_open", "reserve.descriptors", "reserve.buffers",
        "mesh.dial",
    ]

    @Test func `docs of the files name every key`() throws {
        let docs = try String(
            contentsOf: Self.example.deletingLastPathComponent().appending(path: "files.md"), encoding: .utf8)
        for key in Self.keys { #expect(docs.contains("\n- `\(key)` ("), "\(key)") }
    }

    @Test func `every key is taken over`() throws {
        let config = try parse(
            """
            name = "büro"
            server_port = 9000
            bind = "::"
            advertise = "relay.example.org"
            ports = "30000"
            open = true
            plain = true
            p2prc_compat = "0.0.0.0:8078"
            relays = 3
            hook = "echo $P2PRC_HOSTS"
            lease_hours = 1
            [visitors]
            allow = ["203.0.113.0/24", "2001:db8::/32"]
            deny = ["203.0.113.7"]
            [peers]
            allow = ["10.0.0.0/8"]
            deny = [
                "10.1.0.0/16", # the guests
                "10.2.0.0/16",
            ]
            [limits]
            keys = 1
            leases = 2
            mappings = 3
            connections = 4
            connections_per_second = 5
            bytes_per_second = "1.5MiB"
            [sources]
            handshakes_per_second = 6
            half_open = 7
            [reserve]
            descriptors = 0
            buffers = 8
            [mesh]
            dial = ["192.0.2.0/24"]
            """)
        func networks(_ texts: String...) throws -> [Network] { try texts.map { try Network($0) } }
        #expect(config.name == "büro" && config.serverPort == 9_000 && config.bind == "::")
        #expect(config.advertise == "relay.example.org" && config.ports == PublicPorts("30000"))
        #expect(config.isOpen && config.isPlain && config.leaseHours == 1 && config.p2prcCompat == "0.0.0.0:8078")
        #expect(config.sessions == 3 && config.hook == "echo $P2PRC_HOSTS")
        #expect(
            try config.visitors
                == NetworkFilter(allow: networks("203.0.113.0/24", "2001:db8::/32"), deny: networks("203.0.113.7")))
        #expect(
            try config.peers
                == NetworkFilter(allow: networks("10.0.0.0/8"), deny: networks("10.1.0.0/16", "10.2.0.0/16")))
        #expect(
            config.limits
                == Grant.Limits(
                    keys: 1, leases: 2, mappings: 3, connections: 4, connectionsPerSecond: 5, bytesPerSecond: 1_572_864)
        )
        #expect(config.sources == SourceGate.Limits(handshakesPerSecond: 6, halfOpen: 7))
        #expect(config.reserve.descriptors == 0 && config.reserve.buffers == 8)
        #expect(try config.meshDial == networks("192.0.2.0/24"))
    }

    @Test(arguments: [
        ("server_prot = 1", "line 1: there is no key server_prot; did you mean server_port?"),
        ("open = false\n\nnmae = \"x\"", "line 3: there is no key nmae; did you mean name?"),
        ("[limits]\nconections = 5", "line 2: there is no key limits.conections; did you mean limits.connections?"),
        ("[limit]\nkeys = 5", "line 1: there is no key limit; did you mean limits?"),
        ("keys = 5", "line 1: there is no key keys; did you mean limits.keys?"),
        ("[reserve]\nallow = []", "line 2: there is no key reserve.allow; did you mean"),
        ("zzzzzzzz = 1", "line 1: there is no key zzzzzzzz"), ("\"\" = 1", "there is no key"),
        ("server_port = \"8088\"", "line 1: server_port: this is text in quotes; write a number from 1 to 65535"),
        ("server_port = 0", "line 1: server_port: 0 is out of range; write a number from 1 to 65535"),
        ("server_port = 8088.0", "server_port: this is a number with a point"),
        ("relays = 9", "relays: 9 is out of range"),
        ("lease_hours = 8761", "lease_hours: 8761 is out of range"),
        ("open = \"yes\"", "open: this is text in quotes; write true or false"), ("open = 1", "open: this is a number"),
        ("name = 5", "name: this is a number; write a text"), ("name = \"\"", "name: write 1 to 255 bytes"),
        ("name = \"a\\u001bb\"", "name: write 1 to 255 bytes"), ("ports = \"5-3\"", "ports: \"5-3\" is no range"),
        ("ports = \"0-9\"", "ports: \"0-9\" is no range"), ("ports = \"80,\"", "ports: \"80,\" is no range"),
        ("ports = 20000", "ports: this is a number"),
        ("visitors = [\"10.0.0.0/8\"]", "line 1: visitors is a list; write a table: [visitors]"),
        ("[visitors]\nallow = \"10.0.0.0/8\"", "line 2: visitors.allow: this is text in quotes; write a list"),
        ("[visitors]\n\nallow = [7]", "line 3: visitors.allow: this is a number; write a list"),
        ("[peers]\ndeny = [\"10.0.0.1/8\"]", "line 2: peers.deny: '10.0.0.1/8' has bits after its prefix"),
        ("[limits]\nbytes_per_second = \"10mb\"", "line 2: limits.bytes_per_second: this is no amount"),
        ("[limits]\nbytes_per_second = 0", "limits.bytes_per_second: this is no amount"),
        ("[limits]\nbytes_per_second = true", "limits.bytes_per_second: this is true or false"),
        ("[limits]\nkeys = 0", "limits.keys: 0 is out of range"), ("[reserve]\ndescriptors = -1", "out of range"),
        ("limits = { keys = \"x\" }", "line 1: limits.keys: this is text in quotes"),
        ("limits.keys = \"x\"", "line 1: limits.keys: this is text in quotes"), ("open = ", "line 1: "),
        ("open = true\nopen = true", "line 2: "), ("name = \"a\nb\"", "line 1: "), ("[limits\nkeys = 1", "line 1: "),
        ("open = true\n[]", "line 2: there is ']' where a name belongs"), ("[[]]", "line 1: "),
        ("[", "line 1: there is the end of the file"), ("open: true", "line 1: key-value pair: expected '='"),
        ("open = treu", "line 1: "), ("büro = 1", "line 1: there is 'ü' outside of quotes (column 2)"),
        ("[[peers]]\ndeny = []", "line 1: peers is a list; write a table: [peers]"),
        ("since = 2026-11-21T07:32:00Z", "line 1: there is no key since"),
        ("server_port = 2026-11-21", "line 1: server_port: this is a date or time"),
        ("name = \"\"\"two\nlines\"\"\"", "line 1: name: write 1 to 255 bytes on one line"),
        // Of several the first in the file.
        ("open = 1\nplain = 2", "line 1: open"), ("zzz = 1\nopen = 2", "line 1: there is no key zzz"),
        ("[limits]\nkeys = 0\n[visitors]\nallow = 1", "line 2: limits.keys"),
    ]) func `what is wrong is named with its line, its key and what to write`(text: String, expected: String) {
        let fault = fault(text)
        #expect(fault.contains(expected), "\(fault)")
        #expect(!fault.contains("\n"))
    }

    @Test func `what is no text is damaged, and nothing is moved or made`() throws {
        let paths = try Home.inspect(at: folder.path)
        for (bytes, word) in [
            ([0xff, 0xfe], "UTF-8"), (Array("open = true\0plain = 5".utf8), "UTF-8"),
            (Array("open =".utf8), "line 1"), ([UInt8](repeating: 0x23, count: 2 << 20), "longer"),
        ] as [([UInt8], String)] {
            _ = FileManager.default.createFile(atPath: paths.config, contents: Data(bytes))
            let error = #expect(throws: StorageError.self) { try ConfigFile.load(paths) }
            #expect(error?.kind == .damaged)
            #expect(error?.description.contains("\(paths.config): ") == true)
            #expect(error?.description.contains(word) == true, "\(error.map(\.description) ?? "")")
            #expect(error?.description.contains("puts the file aside") == false)
            #expect(folder.names == ["config.toml"])
        }
    }

    @Test func `a folder in its place is named`() throws {
        let paths = try Home.inspect(at: folder.path)
        mkdir(paths.config, 0o700)
        let error = #expect(throws: StorageError.self) { try ConfigFile.load(paths) }
        #expect(error?.kind == .notAFile)
    }

    @Test func `random damage to a sound file is a fault or a sound file, and never more than one line`() throws {
        let sound = Array(try Data(contentsOf: Self.example))
        let isLong = ProcessInfo.processInfo.environment["P2PRC_LONG"] == "1"
        var random = SeededGenerator(seed: 4)
        for _ in 0..<(isLong ? 200_000 : 3_000) {
            var bytes = sound
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0 ... .max, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(Array("[]=\"#\n.'{}".utf8).randomElement(using: &random)!, at: place)
                }
            }
            do {
                _ = try ConfigFile.parse(bytes)
            } catch { #expect(!error.description.isEmpty && !error.description.contains("\n")) }
        }
    }
}
