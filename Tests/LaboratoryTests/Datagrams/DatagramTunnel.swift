import Foundation
import TestSupport
import Testing

/// A service for datagrams at home, and the public port of its mapping.
struct DatagramTunnel {
    let scenario: Scenario
    let world: World
    let peer: Node
    /// At the relay.
    let port: Int

    static let local = 5300

    /// - Parameters:
    ///   - service: a Python program that answers datagrams to port 5300 and prints "ready"; `nil`: one that answers
    ///     each with itself and tells visitors their ports.
    ///   - words: of the mapping.
    init(_ scenario: Scenario, _ nat: Lab.NAT, _ words: [String] = ["--udp"], service: String? = nil) async throws {
        self.scenario = scenario
        world = try await World(scenario)
        let home = world.lab.home(nat)
        if let service {
            let program = try scenario.start("service", "python3", ["-c", service], in: home)
            try await program.line(containing: "ready")
        } else {
            _ = try await scenario.service("datagram-echo", port: Self.local, ["--sign"], in: home)
        }
        peer = try await world.peer(behind: nat)
        let made = try await peer.command(["--mp", "\(Self.local)"] + words)
        try #require(made.status == ExitCode.fine, "\(made.stderr)")
        port = try await peer.verified(Self.local).port
    }

    /// Starts a visitor that asks at an even pace, and waits for its first answer.
    func visitor(rate: Int = 50, seconds: Int, bytes: Int = 100) async throws -> Program {
        let options = ["--rate", "\(rate)", "--for", "\(seconds)", "--bytes", "\(bytes)"]
        let program = try world.startVisitor("datagram-pings", port: port, options, seconds: seconds + 10)
        try await program.line(containing: "\"first\"", within: .seconds(5))
        return program
    }

    /// Runs a Python program as a visitor; its first two arguments are the address and the port.
    func visit(_ program: String, _ words: [String] = [], within limit: Duration = .seconds(30)) async throws -> String
    {
        let ran = try await scenario.run(
            "visitor", "python3", ["-c", program, Lab.relayAddress, "\(port)"] + words, in: world.lab.visitor,
            within: limit)
        try #require(ran.status == 0, "\(ran.stdout)\(ran.stderr)")
        return ran.stdout
    }
}

/// What `labtool datagram-pings` says in the end.
struct DatagramFigures: Decodable, CustomStringConvertible {
    let sent: Int
    let answered: Int
    /// From how many ports the service heard the visitor.
    let flows: Int
    /// Milliseconds without an answer.
    let longestGap: Int
    /// When that was over, as `now`.
    let gapEnd: Int
    /// Microseconds, there and back.
    let p50: Int
    let p99: Int
    let most: Int

    enum CodingKeys: String, CodingKey {
        case sent, answered, flows
        case longestGap = "longest_gap_ms"
        case gapEnd = "gap_end_ms"
        case p50 = "p50_us"
        case p99 = "p99_us"
        case most = "most_us"
    }

    /// Waits for the end of the visitor.
    init(of visitor: Program, within limit: Duration) async throws {
        try await visitor.exit(within: limit)
        let line = visitor.stdout.split(separator: "\n").last.map(String.init) ?? ""
        self = try JSONDecoder().decode(Self.self, from: Data(line.utf8))
    }

    /// Milliseconds on the monotonic clock.
    static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }

    /// Of those that were asked, in percent.
    var lost: Double { Double(sent - answered) * 100 / Double(max(1, sent)) }

    var description: String {
        "\(sent) sent, \(answered) answered (\(lost.formatted(.number.precision(.fractionLength(2)))) % lost), "
            + "p50 \(Double(p50) / 1000) ms, p99 \(Double(p99) / 1000) ms, most \(Double(most) / 1000) ms"
    }
}
