import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// The commands of docs/guides, as they are written there, by a relay behind a firewall that drops the rest, a home
    /// behind NAT, and a visitor.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct GuideTests {
        @Test("the commands of the guide to a game server work; what stands in for the game sends back what comes")
        func gameServer() async throws {
            try await scenario { s in
                let guide = try await Guide(s, "game-server")
                for port in 27015...27017 { _ = try await s.service("datagram-echo", port: port, in: guide.home) }
                _ = try await s.service("echo", port: 27015, in: guide.home)
                let said = try await guide.follow()
                try #require(said.last?.contains("Source Engine Query") == true, "\(said)")
                try await s.expectEcho(Lab.relayAddress, 27015, in: guide.visitor)
                for port in [27016, 27017] {
                    let words = ["--address", Lab.relayAddress, "--port", "\(port)", "--for", "1"]
                    let pings = try s.startVisitor("datagram-pings", words, seconds: 10, in: guide.visitor)
                    try #require(try await DatagramFigures(of: pings, within: .seconds(10)).answered > 40)
                }
            }
        }

        @Test(
            "the commands of the guide to WireGuard work",
            .enabled(
                if: WireGuard.isThere,
                "there is no wg-quick, or no WireGuard (the kernel's, or wireguard-go and /dev/net/tun)"))
        func wireGuard() async throws {
            try await scenario { s in
                let guide = try await Guide(s, "wireguard")
                let said = try await guide.follow()
                try #require(said.last?.contains(" 0% packet loss") == true, "\(said)")
                // Much in both directions, in packets of the size that the guide advises.
                _ = try await s.service("http", port: 8080, in: guide.home)
                let digest = "curl -sS -m 20 http://10.99.0.1:8080/blob/10485760 | sha256sum | head -c 64"
                let wanted = try await s.curl("http://127.0.0.1:8080/sha256/10485760", in: guide.home)
                try #require(try await s.shell(digest, in: guide.visitor).stdout + "\n" == wanted)
                for (name, place) in [("visitor0", guide.visitor), ("home0", guide.home)] {
                    _ = try await guide.run("wg-quick down ./\(name).conf", in: place)
                }
            }
        }

        @Test("the commands of the guide to a name server work, and others get no answer")
        func dns() async throws {
            try await scenario { s in
                let guide = try await Guide(s, "dns")
                let said = try await guide.follow()
                try #require(said.suffix(2) == ["192.168.1.20\n", "192.168.1.20\n"], "\(said)")
                let stranger = try await s.shell(
                    "dig +time=1 +tries=1 @\(Lab.relayAddress) nas.home.example", in: guide.lab.third)
                try #require(stranger.status == 9, "\(stranger.stdout)")
            }
        }
    }
}

private enum WireGuard {
    static let isThere =
        Binaries.find("wg-quick") != nil
        && (Binaries.find("wireguard-go") != nil && hasTunnels
            || FileManager.default.fileExists(atPath: "/sys/module/wireguard"))

    /// What wireguard-go needs: a container may lack it.
    private static var hasTunnels: Bool {
        let descriptor = open("/dev/net/tun", O_RDWR)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }
}

/// A page of docs/guides whose lines `PLACE$ COMMAND` are run, and whose blocks that begin with `# NAME.conf` become
/// files. What hosts tell each other is put in: the join link and WireGuard's keys.
private struct Guide {
    let scenario: Scenario
    let lab: Lab
    private let text: String
    private let programs: String

    var home: Place { lab.home(.ordinary) }
    var visitor: Place { lab.visitor }
    private var places: [(name: String, place: Place)] {
        [("relay", lab.relay), ("home", home), ("visitor", visitor)]
    }

    init(_ scenario: Scenario, _ name: String) async throws {
        self.scenario = scenario
        lab = try scenario.lab()
        text = try String(contentsOfFile: "\(Binaries.package)/docs/guides/\(name).md", encoding: .utf8)
        programs = scenario.folder + "/bin"
        let files = FileManager.default
        try files.createDirectory(atPath: programs, withIntermediateDirectories: true)
        try files.createSymbolicLink(atPath: programs + "/p2prc", withDestinationPath: Binaries.product())
        for (name, _) in places {
            try files.createDirectory(atPath: scenario.folder + "/" + name, withIntermediateDirectories: true)
        }
        // As a host has it whose owner lets in what is asked for alone.
        let firewall = """
            table inet filter {
                chain input {
                    type filter hook input priority filter; policy drop;
                    ct state established,related accept
                    iifname "lo" accept
                    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
                }
            }
            """
        let made = try await scenario.run("nft", "nft", [firewall], in: lab.relay)
        try #require(made.status == 0, "\(made.stderr)")
    }

    private func line(_ command: String, in name: String) -> [String] {
        let folder = scenario.folder + "/" + name
        let path = "\(programs):/usr/sbin:/usr/bin:/sbin:/bin"
        return ["HOME=\(folder)", "PATH=\(path)", "bash", "-c", "cd \(folder) && \(command)"]
    }

    /// Its output; it has to end well.
    func run(_ command: String, in place: Place) async throws -> String {
        let name = places.first { $0.place.namespace == place.namespace }?.name ?? ""
        let ran = try await scenario.run(
            "guide", "env", line(command, in: name), in: place, within: .seconds(30))
        try #require(ran.status == 0, "\(command): \(ran.stdout)\(ran.stderr)")
        return ran.stdout
    }

    /// Runs all of it.
    ///
    /// - Returns: what each command said that ends.
    func follow() async throws -> [String] {
        var said: [String] = []
        var told: [String: String] = [:]
        var file: String?
        var isBlock = false
        for raw in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if raw.hasPrefix("```") {
                isBlock.toggle()
                file = nil
                continue
            }
            guard isBlock else { continue }
            let text = told.reduce(raw) { $0.replacingOccurrences(of: $1.key, with: $1.value) }
            if let name = raw.wholeMatch(of: #/# ([a-z0-9]+\.conf)/#)?.1 { file = String(name) }
            if let file {
                for (name, _) in places { try append(text, to: "\(scenario.folder)/\(name)/\(file)") }
                continue
            }
            guard let found = text.wholeMatch(of: #/(relay|home|visitor)[#$] (.*?)(?: {3,}# .*)?/#),
                let place = places.first(where: { $0.name == found.1 })?.place
            else { throw Failure("this is no command: \(raw)") }
            let (name, command) = (String(found.1), String(found.2))
            if command.hasPrefix("p2prc -s") {
                let node = try scenario.start("\(name)-node", "env", line(command, in: name), in: place)
                try await node.line(containing: "listening on")
            } else if command.hasPrefix("dnsmasq") {
                _ = try scenario.start("dnsmasq", "env", line(command, in: name), in: place)
                try await eventually("dnsmasq listens", within: .seconds(5)) {
                    try await scenario.shell("ss -Hlun '( sport = :53 )'", in: place).stdout != ""
                }
            } else {
                let output = try await run(command, in: place)
                said.append(output)
                if command == "p2prc mesh-key link" { told["p2prc://203.0.113.11:8088/6d4b…/4d96…"] = link(output) }
                if command.hasSuffix("wg pubkey < private.key") {
                    told["\(name.uppercased())-PUBLIC-KEY"] = output.trimmingCharacters(in: .newlines)
                    let key = try String(contentsOfFile: "\(scenario.folder)/\(name)/private.key", encoding: .utf8)
                    told["\(name.uppercased())-PRIVATE-KEY"] = key.trimmingCharacters(in: .newlines)
                }
            }
        }
        return said
    }

    private func link(_ output: String) -> String {
        output.firstMatch(of: #/p2prc:\S+/#).map { String($0.output) } ?? ""
    }

    private func append(_ line: String, to path: String) throws {
        let former = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        try (former + line + "\n").write(toFile: path, atomically: true, encoding: .utf8)
    }
}
