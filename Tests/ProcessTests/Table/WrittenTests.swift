import Foundation
import TestSupport
import Testing

/// What may be wrong with a disk, while a node runs with a home on it.
enum DiskTrouble: String, CaseIterable, CustomTestStringConvertible {
    case full, locked, readOnly, failing
    var testDescription: String { rawValue }

    /// Mounting needs root; somebody else finds the other two out.
    var isPossible: Bool {
        switch self {
        case .full, .readOnly: Self.mayMount
        case .locked, .failing: true
        }
    }

    private static let mayMount: Bool = {
        let folder = NSTemporaryDirectory() + "p2prc-mount-\(getpid())"
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        guard getuid() == 0, (try? Ran(["mount", "-t", "tmpfs", "p2prc-test", folder]))?.status == 0 else {
            return false
        }
        return (try? Ran(["umount", folder]))?.status == 0
    }()
}

extension ProcessTests {
    /// Every command that changes something, on disks that do not take it: what is answered with 0 is there after the
    /// process was killed and started again, and nothing else is said to be.
    @Suite(.serialized, .timeLimit(.minutes(10)))
    struct WrittenTests {
        /// One command, and how to see whether it did what it says.
        private struct Row {
            var words: [String]
            /// Of the table: more than 0 when it was done.
            var query: String?
            /// A file of the home, which is another one when it was done.
            var file: String?
            /// A text that this file holds (or does not) when it was done.
            var holds: (text: String, isThere: Bool)?

            init(_ words: [String], query: String) { (self.words, self.query) = (words, query) }
            init(_ words: [String], query: String, _ file: String, holds text: String, _ isThere: Bool) {
                (self.words, self.query, self.file, holds) = (words, query, file, (text, isThere))
            }
            init(_ words: [String], changes file: String) { (self.words, self.file) = (words, file) }
            init(_ words: [String], _ file: String, holds text: String, _ isThere: Bool = true) {
                (self.words, self.file, holds) = (words, file, (text, isThere))
            }
        }

        /// A relay that is a peer of two others, and has something of everything.
        private struct World {
            var node: Node
            var rows: [Row]
        }

        private func world(_ s: Scenario, home: String) async throws -> World {
            let first = try await s.relay("first", ports: FreePorts.range(10))
            let second = try await s.relay("second", ports: FreePorts.range(10))
            let third = try await s.relay("third", ports: FreePorts.range(10))
            func address(_ node: Node) -> String { "127.0.0.1:\(node.settings.serverPort ?? 0)" }
            let services = try await [s.service("echo"), s.service("echo"), s.service("echo")].map { "\($0.port)" }
            var settings = NodeSettings("node")
            settings.ports = try FreePorts.range(5)
            settings.relays = [address(first)]
            let node = try s.node(settings, home: home)
            try await node.listening()
            for words in [
                ["join", address(second)], ["--mp", services[0]], ["--mp", services[1]],
                ["token", "issue", "--name", "old", "--expires", "1h"],
            ] {
                let done = try await node.command(words)
                try #require(done.status == ExitCode.fine, "\(words): \(done.stderr)")
            }
            let status = try await first.command(["status", "--json"]).stdout
            let object = try JSONSerialization.jsonObject(with: Data(status.utf8)) as? [String: Any]
            let key = try #require(object?["Key"] as? String)
            let imported = "\(s.folder)/imported.json"
            let table = #"{"ip_address":[{"Name":"n","IPV4":"198.51.100.7","ServerPort":"8088"}]}"#
            try table.write(toFile: imported, atomically: true, encoding: .utf8)
            func count(_ what: String) -> String { "SELECT count(*) FROM \(what)" }
            return World(
                node: node,
                rows: [
                    Row(["--mp", services[2]], query: count("mapping_wish WHERE port = \(services[2])")),
                    Row(
                        ["unmap", services[1]],
                        query: "SELECT NOT EXISTS (SELECT * FROM mapping_wish WHERE port = \(services[1]))"),
                    Row(
                        ["--mp", services[0], "--deny", "192.0.2.0/24"],
                        query: count("mapping_wish WHERE port = \(services[0]) AND deny = '192.0.2.0/24'")),
                    Row(
                        ["--mp", services[0], "--tell", "web"],
                        query: count("mapping_wish WHERE port = \(services[0]) AND tell = 'web'")),
                    Row(["join", address(third)], query: count("joined_relay WHERE address = '\(address(third))'")),
                    Row(
                        ["leave", address(second)],
                        query: "SELECT NOT EXISTS (SELECT * FROM joined_relay WHERE address = '\(address(second))')",
                        "memberships.json", holds: "\"\(address(second))\"", false),
                    Row(["trust", address(first), "--key", key], "memberships.json", holds: "\"trust\""),
                    Row(
                        ["--arn", "--ip", "192.0.2.9", "-p", "1"], query: count("seed WHERE address = '192.0.2.9:1'")),
                    Row(["--as", "192.0.2.5"], query: count("seed WHERE address = '192.0.2.5:8088'")),
                    Row(
                        ["--amd", "said before \(UInt32.random(in: 0 ... .max))"],
                        query: count("own_record WHERE note LIKE 'said before%'")),
                    Row(["import", "ip-table", imported], query: count("seed WHERE source = 'import'")),
                    Row(
                        ["token", "issue", "--name", "new", "--expires", "1h"],
                        query: count("issued_token WHERE name = 'new'")),
                    Row(["token", "revoke", "old"], query: count("revoked_token")),
                    Row(["token", "rotate-key", "--keep", "1h"], changes: "token.key"),
                    Row(["mesh-key", "rotate"], changes: "mesh.key"),
                    Row(["node-key", "rotate"], changes: "node.key"),
                ])
        }

        private func isDone(_ row: Row, in home: String, before: Data?, _ s: Scenario) async throws -> Bool {
            if let query = row.query {
                let asked = try await s.run("sqlite3", "sqlite3", ["\(home)/ip_table.sqlite", query])
                try #require(asked.status == 0, "\(asked.stderr)")
                s.forget(asked.program)
                let count = try #require(Int(asked.stdout.trimmingCharacters(in: .whitespacesAndNewlines)))
                guard count > 0, row.file != nil else { return count > 0 }
            }
            let now = FileManager.default.contents(atPath: "\(home)/\(row.file ?? "")")
            guard let holds = row.holds else { return now != before }
            return (now?.range(of: Data(holds.text.utf8)) != nil) == holds.isThere
        }

        private func files(_ rows: [Row], in home: String) -> [String: Data] {
            var files: [String: Data] = [:]
            for name in rows.compactMap(\.file) {
                files[name] = FileManager.default.contents(atPath: "\(home)/\(name)")
            }
            return files
        }

        @Test("killed right after the answer, what a command did is there", arguments: [0, 1, 2, 3])
        func killed(_ quarter: Int) async throws {
            try await scenario { s in
                let world = try await world(s, home: "\(s.folder)/home")
                let (node, all) = (world.node, world.rows)
                for (number, row) in all.enumerated() where number % 4 == quarter {
                    let before = files([row], in: node.home)
                    let answer = try await node.command(row.words, within: .seconds(60))
                    node.program.kill()
                    try #require(answer.status == ExitCode.fine, "\(row.words): \(answer.stderr)")
                    try await node.restart()
                    let isDone = try await isDone(row, in: node.home, before: before[row.file ?? ""], s)
                    try #require(isDone, "\(row.words) said it was done")
                }
            }
        }

        @Test(
            "on a disk in trouble a command says so, and what it says is true after a restart",
            arguments: DiskTrouble.allCases.filter(\.isPossible))
        func troubled(_ trouble: DiskTrouble) async throws {
            try await scenario { s in
                let disk = "\(s.folder)/disk"
                try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
                if [.full, .readOnly].contains(trouble) {
                    try #require(try Ran(["mount", "-t", "tmpfs", "-o", "size=4m", "p2prc-test", disk]).status == 0)
                }
                defer { while (try? Ran(["umount", "--lazy", disk]))?.status == 0 {} }
                let home = "\(disk)/home"
                let world = try await world(s, home: home)
                let node = world.node
                let before = files(world.rows, in: home)
                let holder = try await begin(trouble, node, disk, s)
                var ended: [(row: Row, answer: Finished)] = []
                // Each command waits for a lock for as long as its user is asked to: some of them will do.
                let fewer = trouble == .locked ? Scale.pick(4, long: 1) : 1
                for (number, row) in world.rows.enumerated() where number % fewer == 0 {
                    let answer = try await node.command(row.words, within: .seconds(60))
                    s.note(
                        "\(trouble.rawValue): \(row.words.joined(separator: " ")): \(answer.status) \(answer.stderr)")
                    ended.append((row, answer))
                }
                node.program.kill()
                try await end(trouble, holder, disk)
                node.settings.relays = []
                try await node.restart()
                for (row, answer) in ended {
                    let what = "\(trouble.rawValue), \(row.words): \(answer.status) \(answer.stderr)"
                    try #require([ExitCode.fine, ExitCode.homeUnusable].contains(answer.status), "\(what)")
                    let isDone = try await isDone(row, in: home, before: before[row.file ?? ""], s)
                    // A rotation of the mesh's key is told to members, who tell of their keys: only what was asked
                    // counts.
                    try #require(isDone == (answer.status == ExitCode.fine), "\(what)")
                    guard answer.status != ExitCode.fine else { continue }
                    try #require(answer.stderr.contains(home), "which file: \(what)")
                    let reasons = Self.reasons[trouble, default: []]
                    try #require(reasons.isEmpty || reasons.contains { answer.stderr.contains($0) }, "why: \(what)")
                    try #require(answer.stderr.split(separator: "\n").count == 1, "one line: \(what)")
                }
                try #require(ended.contains { $0.answer.status != ExitCode.fine }, "there was no trouble")
            }
        }

        private static let reasons: [DiskTrouble: [String]] = [
            .full: ["full", "No space left"], .locked: ["locked"], .readOnly: ["Read-only"],
        ]

        private static let lock = """
            import sqlite3, sys
            table = sqlite3.connect(sys.argv[1], isolation_level=None)
            table.execute("BEGIN IMMEDIATE")
            print("held", flush=True)
            sys.stdin.read()
            """

        private func begin(_ trouble: DiskTrouble, _ node: Node, _ disk: String, _ s: Scenario) async throws -> Program?
        {
            switch trouble {
            case .full:
                _ = try Ran(["dd", "if=/dev/zero", "of=\(disk)/filler", "bs=4096"])
                _ = try Ran([
                    "dd", "if=/dev/zero", "of=\(disk)/filler", "bs=1", "oflag=append", "conv=notrunc", "count=4096",
                ])
            case .locked:
                let holder = try s.start(
                    "holder", "/usr/bin/python3", ["-c", Self.lock, "\(node.home)/ip_table.sqlite"])
                try await holder.line(containing: "held")
                return holder
            case .readOnly:
                // What is open stays open: so it is with a folder that loses its rights, too.
                try #require(try Ran(["mount", "--bind", disk, disk]).status == 0)
                try #require(try Ran(["mount", "-o", "remount,bind,ro", disk]).status == 0)
            case .failing:
                try #require(try Ran(["prlimit", "--pid", "\(node.program.pid)", "--fsize=1:unlimited"]).status == 0)
            }
            return nil
        }

        private func end(_ trouble: DiskTrouble, _ holder: Program?, _ disk: String) async throws {
            switch trouble {
            case .full: try FileManager.default.removeItem(atPath: "\(disk)/filler")
            case .locked:
                holder?.closeInput()
                try await holder?.exit()
            case .readOnly: try #require(try Ran(["umount", "--lazy", disk]).status == 0)
            case .failing: break
            }
        }

        @Test(
            "what is kept in memory comes to a full disk as soon as there is room",
            .enabled(if: DiskTrouble.full.isPossible, "a small file system can be mounted only by root"))
        func later() async throws {
            try await scenario { s in
                let disk = "\(s.folder)/disk"
                try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
                try #require(try Ran(["mount", "-t", "tmpfs", "-o", "size=4m", "p2prc-test", disk]).status == 0)
                defer { _ = try? Ran(["umount", "--lazy", disk]) }
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"], home: "\(disk)/home")
                let port = try await peer.verified(echo.port).port
                let holder = try await begin(.full, peer, disk, s)
                let unmapped = try await peer.command(["unmap", "\(port)"])
                try #require(unmapped.status == ExitCode.homeUnusable)
                try #require(unmapped.stderr.contains("closed now, but will be open again after a restart"))
                try await s.expectRefused("127.0.0.1", port)
                try await end(.full, holder, disk)
                let query = "SELECT count(*) FROM mapping_wish"
                try await eventually("it is written down", within: .seconds(35), every: .milliseconds(200)) {
                    let asked = try await s.run("sqlite3", "sqlite3", ["\(peer.home)/ip_table.sqlite", query])
                    s.forget(asked.program)
                    return asked.stdout.trimmingCharacters(in: .whitespacesAndNewlines) == "0"
                }
                peer.program.kill()
                peer.settings.mappings = []
                try await peer.restart()
                try await s.expectRefused("127.0.0.1", port)
            }
        }

        @Test("a peer whose mapping could not be written down has its port again, after a restart and a kill -9")
        func orphaned() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let port = try #require(relay.settings.ports?.lowerBound)
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port):\(port)"])
                _ = try await peer.verified(echo.port)
                // Its table is lost, as with an older backup; its key is not.
                peer.program.kill()
                for name in [
                    "ip_table.sqlite", "ip_table.sqlite-wal", "ip_table.sqlite-shm", "reverse_proxy_mapping.json",
                ] {
                    try? FileManager.default.removeItem(atPath: "\(peer.home)/\(name)")
                }
                peer.settings.mappings = []
                try await peer.restart()
                // When its session stands for 2 s; until then the relay waits for the mapping that it knows.
                try await eventually("the port is had again", within: .seconds(10), every: .milliseconds(300)) {
                    let asked = try await peer.command(["--mp", "\(echo.port):\(port)"])
                    guard asked.status == ExitCode.fine else {
                        try #require(asked.status == ExitCode.portTaken, "\(asked.stderr)")
                        return false
                    }
                    return true
                }
                try await s.expectEcho("127.0.0.1", port)
            }
        }

        @Test("a lease of a mapping that the peer does not know any more is given back")
        func givenBack() async throws {
            try await scenario { s in
                let (echo, other) = (try await s.service("echo"), try await s.service("echo"))
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                _ = try await peer.verified(echo.port)
                // With this process the mapping ends, and the relay cannot know that.
                try #require(try await peer.command(["--mp", "\(other.port)", "--temporary"]).status == ExitCode.fine)
                try #require(try await relay.viewRPM().count == 2)
                peer.program.kill()
                try await peer.restart()
                try await eventually("one lease is left", within: .seconds(10)) {
                    try await relay.viewRPM().map { $0.leads(to: echo.port) } == [true]
                }
                _ = try await peer.verified(echo.port)
            }
        }

        @Test(
            "a relay on a full disk, started again, serves the leases that are on it",
            .enabled(if: DiskTrouble.full.isPossible, "a small file system can be mounted only by root"))
        func relayOnFullDisk() async throws {
            try await scenario { s in
                let disk = "\(s.folder)/disk"
                try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
                try #require(try Ran(["mount", "-t", "tmpfs", "-o", "size=4m", "p2prc-test", disk]).status == 0)
                defer { _ = try? Ran(["umount", "--lazy", disk]) }
                let echo = try await s.service("echo")
                let relay = try await s.relay(home: "\(disk)/home")
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let port = try await peer.verified(echo.port).port
                relay.program.kill()
                _ = try await begin(.full, relay, disk, s)
                try await relay.restart()
                try await eventually("served again", within: .seconds(5)) {
                    try await peer.viewRPM().first { $0.leads(to: echo.port) }?.state == "verified"
                }
                try #require(try await peer.verified(echo.port).port == port)
                try await s.expectEcho("127.0.0.1", port)
                // It waits for room, and is not refused meanwhile.
                try #require(peer.program.find("refuses") == nil)
            }
        }
    }
}
