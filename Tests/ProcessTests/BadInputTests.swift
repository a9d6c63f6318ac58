import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Everything that can be wrong gets one clear line, its exit code, and loses nothing.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct BadInputTests {
        @Test(
            "wrong arguments are usage errors that name what is wrong",
            arguments: [
                (["-s", "--mp", "0"], "0"),
                (["-s", "--mp", "70000"], "70000"),
                (["-s", "--mp", "web"], "web"),
                (["-s", "--mp", "80:"], "80:"),
                (["-s", "--mp", "80:99999"], "99999"),
                (["--mp", "-5"], "--mp"),
                (["-s", "--reverse-proxy", "--ports", "5-3"], "5-3"),
                (["-s", "--reverse-proxy", "--ports", "0-10"], "0-10"),
                (["-s", "--reverse-proxy", "--ports", "many"], "many"),
                (["-s", "--reverse-proxy", "--ports", "80,443,9-1"], "80,443,9-1"),
                (["-s", "--server-port", "99999"], "99999"),
                (["-s", "--connect-reverse-proxy", "host:port"], "host:port"),
                (["-s", "--bind", "not an address"], "not an address"),
                (["-s", "--mp", "22", "--target", "192.168.1.5:99999"], "99999"),
                (["-s", "--frobnicate"], "--frobnicate"),
                (["-s", "--reverse-proxy", "--allow-visitors", "10.0.0.0/33"], "10.0.0.0/33"),
                (["-s", "--reverse-proxy", "--deny-peers", "192.168.1.5/24"], "192.168.1.0/24"),
                (["-s", "--deny-visitors", "10.0.0.0/8"], "--deny-visitors"),
                (["-s", "--mp", "22", "--allow", "home"], "--allow home"),
                (["-s", "--deny", "10.0.0.0/8"], "--deny"),
                (["--allow-peers", "10.0.0.0/8", "--mp", "22"], "--allow-peers"),
                (["status", "--deny", "10.0.0.0/8"], "--deny"),
                (["-s", "--tell", "web"], "--tell"),
                (["-s", "--mp", "22", "--tell", "two\nlines"], "--tell two"),
                (["-s", "--mp", "22", "--mp", "23", "--tell", "web"], "--tell"),
                (["--mp", "22", "--tell", String(repeating: "x", count: 65)], "64 bytes"),
                (["--view-rpm", "--tell", "web"], "--tell"),
                (["unmap", "22", "--tell", "web"], "--tell"),
                (["status", "--ports", "1-2"], "--ports"),
                (["unmap", "8080", "--bind", "127.0.0.1"], "--bind"),
                (["--view-rpm", "--mp", "9000"], "--mp"),
                (["--view-rps", "--reverse-proxy"], "--reverse-proxy"),
                (["unmap"], "<mapping>"), (["unmap"], "see p2prc unmap --help"),
                (["--reverse-proxy"], "add -s: p2prc -s --reverse-proxy"),
                (
                    ["--connect-reverse-proxy", "198.51.100.1", "--mp", "8080"],
                    "add -s: p2prc -s --connect-reverse-proxy"
                ),
                (["--ports", "1024-2000"], "add -s --reverse-proxy: p2prc -s --reverse-proxy --ports 1024-2000"),
                (["-s", "--open"], "add it"),
                (["--json"], "--json alone"),
                (["statsu"], "did you mean status?"), (["status", "extra"], "extra"),
                (["help", "nosuch"], "nosuch"), (["help", "token", "isue"], "did you mean issue?"),
                (["token", "issue", "--naem", "x"], "did you mean --name?"),
                (["start"], "p2prc -s"), (["ls"], "p2prc --ls"), (["-V"], "p2prc --version"),
                (["udp"], "p2prc --mp PORT --udp"), (["--unmap", "53"], "p2prc unmap"),
                (["--view"], "--view-rpm"),
                (["-s", "--mp", "80", "--target", "10.1.0.1:22"], "write --mp 10.1.0.1:22"),
                (["-s", "--mp", "nas.local"], "nas.local"), (["-s", "--mp", "fd00::1:22"], "brackets"),
                (["-s", "--mp", "10.1.0.1:22:70000"], "70000"),
                (["--mp", "53", "--udp", "--both"], "write one of them"), (["--mp", "53/udp"], "--mp 53 --udp"),
                (["--mp", "53", "--UDP"], "did you mean --udp?"), (["--mp", "5003-5000"], "write 5000-5003"),
            ])
        func usage(_ words: [String], _ culprit: String) async throws {
            try await scenario { s in
                let home = "\(s.folder)/home"
                let result = try await s.run(
                    "p2prc", Binaries.product(), words + ["--home", home], within: .seconds(5))
                try #require(result.status == ExitCode.usage)
                try #require(result.stderr.contains(culprit))
                try #require(result.stderr.split(separator: "\n").count == 1, "one clear line: \(result.stderr)")
                try #require(result.stdout.isEmpty)
                try #require(!FileManager.default.fileExists(atPath: home), "nothing is made for a wrong command")
            }
        }

        @Test("a flag that a command has no use for is refused, whichever it is")
        func everyFlag() async throws {
            struct Dump: Decodable {
                struct Name: Decodable { var kind, name: String }
                struct Argument: Decodable {
                    var kind: String
                    var names: [Name]?
                }
                struct Command: Decodable { var arguments: [Argument]? }
                var command: Command
            }
            try await scenario { s in
                let dump = try await s.run("p2prc", Binaries.product(), ["--experimental-dump-help"]).stdout
                let root = try JSONDecoder().decode(Dump.self, from: Data(dump.utf8)).command
                var tried = 0
                for argument in root.arguments ?? [] {
                    guard let name = argument.names?.first else { continue }
                    if ["home", "json", "h", "version"].contains(name.name) { continue }
                    let flag = (name.kind == "short" ? "-" : "--") + name.name
                    let words = ["unmap", "8080", flag] + (argument.kind == "option" ? ["1"] : [])
                    let result = try await s.run("p2prc", Binaries.product(), words, within: .seconds(5))
                    try #require(result.status == ExitCode.usage, "\(words): \(result.stderr)")
                    try #require(result.stderr.contains("does nothing with unmap"), "\(words): \(result.stderr)")
                    tried += 1
                }
                try #require(tried > 30, "\(tried) flags")
            }
        }

        @Test("what opens something is never proposed", arguments: ["--opne", "--accept-opn", "--plian", "--ope"])
        func dangerous(_ word: String) async throws {
            try await scenario { s in
                let result = try await s.run("p2prc", Binaries.product(), ["-s", "--reverse-proxy", word])
                try #require(result.status == ExitCode.usage)
                for flag in ["--open", "--accept-open", "--plain"] { try #require(!result.stderr.contains(flag)) }
            }
        }

        @Test("no error repeats a secret, wherever it stood on the command line")
        func secrets() async throws {
            let key = String(repeating: "5e", count: 32)
            let link = "p2prc://203.0.113.11:8088/\(key)/\(key)"
            let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJmcmllbmQtNWU1ZTVlNWU1ZTVlNWUifQ.c2lnbmF0dXJlNWU1ZTVl"
            for words in [
                ["--connect-reverse-proxy", link, "--mp", "8080"], ["--connect-reverse-proxy", " \(link) "], [link],
                ["-s", "--connect-reverse-proxy", "x\(link)"],
                ["-s", "--connect-reverse-proxy", String(link.dropLast())],
                ["status", link], ["join", key], ["join", "\(key)/\(key)"], ["-s", "--bind", link], ["leave", link],
                ["join", "relay", "--token-file", link], ["status", token], ["-s", "--mp", token],
            ] {
                try await scenario { s in
                    let home = ["--home", "\(s.folder)/home"]
                    let result = try await s.run("p2prc", Binaries.product(), words + home, within: .seconds(5))
                    try #require(result.status != 0, "\(words)")
                    try #require(
                        !result.stderr.contains("5e5e5e5e") && !result.stderr.contains("NWU1ZTVl"), "\(result.stderr)")
                }
            }
        }

        @Test(
            "without a running node its questions say so",
            arguments: [["--mp", "9000"], ["unmap", "9000"], ["status"]])
        func noNode(_ words: [String]) async throws {
            try await scenario { s in
                let command = words + ["--home", "\(s.folder)/home"]
                let result = try await s.run("p2prc", Binaries.product(), command)
                try #require(result.status == ExitCode.noNode)
                try #require(result.stderr.contains("-s"), "the next step: \(result.stderr)")
                try #require(result.stderr.split(separator: "\n").count == 1, "one clear line: \(result.stderr)")
            }
        }

        @Test("whoever waits at a terminal is told after two seconds what for, and a script is not")
        func patience() async throws {
            try await scenario { s in
                let silent = try s.start(
                    "silent", "/usr/bin/python3",
                    [
                        "-c",
                        "import socket, sys\ns = socket.create_server(('127.0.0.1', 0))\n"
                            + "print('port', s.getsockname()[1], flush=True)\nsys.stdin.read()",
                    ])
                let line = try await silent.line(containing: "port")
                let port = try #require(line.split(separator: " ").last)
                let node = try s.node(NodeSettings("node"))
                try await node.listening()
                let words = ["--connect-reverse-proxy", "127.0.0.1:\(port)", "--home", node.home]
                let command = try ([Binaries.product()] + words).map { "'\($0)'" }.joined(separator: " ")
                let seen = try await s.run("script", "/usr/bin/script", ["-qec", command, "/dev/null"])
                try #require(seen.status == ExitCode.relayUnreachable, "\(seen.stdout)")
                try #require(seen.stdout.contains("has not answered yet"), "\(seen.stdout)")
                let unseen = try await s.run("p2prc", Binaries.product(), words)
                try #require(unseen.stderr.split(separator: "\n").count == 1, "\(unseen.stderr)")
                silent.closeInput()
            }
        }

        @Test(
            "a relay that cannot be reached is tried again and again, and named once",
            arguments: ["no-such-host.invalid", "127.0.0.1:CLOSED"])
        func relayAway(_ address: String) async throws {
            try await scenario { s in
                let closed = try FreePorts.one()
                let place = address.replacingOccurrences(of: "CLOSED", with: "\(closed)")
                let echo = try await s.service("echo")
                var settings = NodeSettings("peer")
                settings.relays = [place]
                let peer = try s.node(settings)
                try await peer.listening()
                try await peer.program.line(containing: place.contains(":") ? "\(closed)" : place, within: .seconds(10))
                try await pass(.seconds(5), because: "a log that floods needs time to do so")
                let lines = peer.program.stderr.split(separator: "\n").filter {
                    $0.contains(place.contains(":") ? "\(closed)" : place)
                }
                try #require(lines.count == 1, "once per change: \(lines)")
                try #require(peer.program.isRunning)
                try #require(
                    try await peer.viewRPS().contains { $0.state == "connecting" && $0.reason?.isEmpty == false })

                let began = ContinuousClock.now
                let asked = try await peer.command(["--mp", "\(echo.port)"])
                let took = ContinuousClock.now - began
                try #require(asked.status == ExitCode.relayUnreachable)
                try #require(asked.stderr.split(separator: "\n").count == 1, "one clear line: \(asked.stderr)")
                if place.contains(":") {
                    try #require(asked.stderr.contains("connection refused"), "\(asked.stderr)")
                    // Tried again for a second, and not for twenty.
                    try #require(took > .milliseconds(900) && took < .seconds(5), "\(took)")

                    // It is there in the end.
                    _ = try await s.relay(serverPort: closed)
                    let row = try await peer.verified(echo.port, within: .seconds(5))
                    try await s.expectEcho("127.0.0.1", row.port)
                }
                try #require(try await peer.program.terminate() == 0)
            }
        }

        @Test("a server port in use is named")
        func serverPortInUse() async throws {
            try await scenario { s in
                let foreign = try await s.service("echo", ["--bind", "127.0.0.1"])
                let node = try s.node(settings(serverPort: foreign.port))
                try #require(try await node.program.exit() == ExitCode.serverPortInUse)
                try expectOneLine(
                    node, naming: "port \(foreign.port) is in use by PID \(foreign.program.pid) (labtool)")
            }
        }

        @Test("a home that cannot be made is named")
        func homeNotWritable() async throws {
            try await scenario { s in
                // Root writes anywhere but here.
                for home in ["/proc/p2prc-home", "/dev/null/home"] {
                    let node = try s.node(settings(), home: home)
                    try #require(try await node.program.exit() == ExitCode.homeUnusable)
                    try expectOneLine(node, naming: home)
                }
            }
        }

        @Test("a home too deep for a socket is named")
        func homeTooLong() async throws {
            try await scenario { s in
                let home = s.folder + "/" + String(repeating: "deep/", count: 30) + "home"
                let node = try s.node(settings(), home: home)
                try #require(try await node.program.exit() == ExitCode.homeUnusable)
                try expectOneLine(node, naming: "107")
            }
        }

        @Test("two processes with one home: the second says so and ends, the first works on")
        func homeInUse() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let second = try s.node(settings(), home: peer.home)
                try #require(try await second.program.exit() == ExitCode.homeInUse)
                try expectOneLine(second, naming: peer.home)
                try await s.expectEcho("127.0.0.1", row.port)
                try #require(try await peer.viewRPM().count == 1)
            }
        }

        @Test(
            "a damaged file is kept aside, a warning is given, and work goes on",
            arguments: ["reverse_proxy_mapping.json", "reverse_proxy_server.json", "ip_table.sqlite"])
        func damaged(_ file: String) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                for node in [relay, try await s.peer(of: relay, mappings: ["\(echo.port)"])] {
                    let isPeer = node !== relay
                    if isPeer { try await node.verified(echo.port) }
                    try #require(try await node.program.terminate() == 0)
                    let path = "\(node.home)/\(file)"
                    for rest in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + rest) }
                    let damage = Data("{ this is no longer what it was".utf8)
                    try damage.write(to: URL(fileURLWithPath: path))
                    try await node.restart()
                    try await node.program.line(containing: file)
                    let names = try FileManager.default.contentsOfDirectory(atPath: node.home)
                    let aside = names.filter {
                        $0 != file && FileManager.default.contents(atPath: "\(node.home)/\($0)") == damage
                    }
                    try #require(aside.count == 1, "kept aside under another name: \(names)")
                    if isPeer {
                        let row = try await node.verified(echo.port)
                        try await s.expectEcho("127.0.0.1", row.port)
                    }
                }
            }
        }

        @Test(
            "a config.toml that cannot be understood is named with its line and its key, and left as it is",
            arguments: [
                ("server_prot = 9000\n", "line 1: there is no key server_prot; did you mean server_port?"),
                ("\nopen = \"yes\"\n", "line 2: open:"), ("[limits]\nkeys = 6 4\n", "line 2: "),
                ("bind = \"nowhere\"\n", "config.toml: bind nowhere"),
            ])
        func damagedConfig(_ text: String, _ culprit: String) async throws {
            try await scenario { s in
                let home = "\(s.folder)/home"
                try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                let path = URL(fileURLWithPath: "\(home)/config.toml")
                try Data(text.utf8).write(to: path)
                let node = try s.node(settings(), home: home)
                try #require(try await node.program.exit() == ExitCode.damagedData)
                try expectOneLine(node, naming: culprit)
                try expectOneLine(node, naming: "\(home)/config.toml")
                try #require(try Data(contentsOf: path) == Data(text.utf8))
            }
        }

        @Test("a damaged file does not stop a listing without a node, and is not lost by it")
        func damagedListing() async throws {
            try await scenario { s in
                let home = "\(s.folder)/home"
                try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                try Data("{\"reverse_proxy_mappings\":[".utf8).write(
                    to: URL(fileURLWithPath: "\(home)/reverse_proxy_mapping.json"))
                let command = ["--view-rpm", "--json", "--home", home]
                let result = try await s.run("p2prc", Binaries.product(), command)
                try #require(result.status == ExitCode.damagedData)
                try #require(result.stderr.contains("reverse_proxy_mapping.json"))
                let whole = try await s.shell("cat \(home)/reverse_proxy_mapping.json*")
                try #require(whole.stdout.contains("{\"reverse_proxy_mappings\":["))
            }
        }

        @Test("a relay of a newer version is named as such")
        func newerRelay() async throws {
            try await scenario { s in
                let future = try await s.service("future-relay")
                let echo = try await s.service("echo")
                var settings = NodeSettings("peer")
                settings.relays = ["127.0.0.1:\(future.port)"]
                let peer = try s.node(settings)
                try await peer.listening()
                let line = try await peer.program.line(containing: "version", within: .seconds(5))
                try #require(line.contains("\(future.port)"))
                let asked = try await peer.command(["--mp", "\(echo.port)"])
                try #require(asked.status == ExitCode.relayUnreachable)
                try #require(asked.stderr.contains("version"), "\(asked.stderr)")
            }
        }

        @Test("a peer of a newer version is told the version that is spoken here")
        func newerPeer() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let options = ["--port", "\(relay.settings.serverPort ?? 0)", "--kind", "newer-version"]
                let told = try await s.visit("garbage", options, seconds: 10)
                // "p2prc", 'v', version 1: docs/protocol.md.
                try #require(told["answer"] as? String == "7032707263760001")
                try #require(try await relay.strangers()["Other_version"] == 1)
            }
        }

        @Test(
            "where no /proc is mounted a command says so, and does not pass for done",
            .enabled(if: geteuid() == 0, "needs root, to mount"))
        func withoutProc() async throws {
            try await scenario { s in
                let line = try "mount --make-rprivate / && umount -l /proc && exec \(Binaries.product()) status"
                let asked = try await s.run("unshare", "unshare", ["-m", "sh", "-c", line])
                try #require(asked.status == 1 && asked.stdout.isEmpty, "\(asked.stdout)")
                try #require(
                    asked.stderr.split(separator: "\n").count == 1 && asked.stderr.contains("/proc"), "\(asked.stderr)")
            }
        }

        private func settings(serverPort: Int? = nil) -> NodeSettings {
            var settings = NodeSettings("node")
            settings.serverPort = serverPort
            return settings
        }

        private func expectOneLine(_ node: Node, naming text: String) throws {
            let lines = node.program.stderr.split(separator: "\n")
            try #require(lines.count == 1, "one clear line: \(node.program.stderr)")
            try #require(lines[0].contains(text))
        }
    }
}
