import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// UDP through both kinds of NAT, with programs that are not ours.
    @Suite(.serialized, .timeLimit(.minutes(6)))
    struct DatagramTests {
        @Test("a resolver at home answers dig, each visitor its own question", arguments: Lab.NAT.allCases)
        func dns(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try s.start(
                    "dnsmasq", "dnsmasq",
                    [
                        "-k", "-p", "5300", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv",
                        "--no-hosts",
                    ]
                        + ["--conf-file=/dev/null", "--user=root", "--pid-file="]
                        + (1...20).map { "--address=/host\($0).lab/192.0.2.\($0)" }, in: world.lab.home(nat))
                let peer = try await world.peer(behind: nat)
                let made = try await peer.command(["--mp", "5300", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(5300).port
                let questions = (1...20).map { number in
                    "dig +short +time=3 +tries=2 -p \(port) @\(Lab.relayAddress) host\(number).lab > $D/\(number) &"
                }
                let asked = try await s.shell(
                    "D=$(mktemp -d); " + questions.joined(separator: " ")
                        + " wait; for n in $(seq 20); do echo $n $(cat $D/$n); done", in: world.lab.visitor)
                let answers = asked.stdout.split(separator: "\n").map(String.init)
                try #require(answers == (1...20).map { "\($0) 192.0.2.\($0)" }, "\(asked.stdout)")
            }
        }

        @Test("iperf3 measures UDP both ways through one mapping for both", arguments: Lab.NAT.allCases)
        func iperf(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let server = try s.start(
                    "iperf3", "iperf3", ["-s", "-p", "5201", "--forceflush"], in: world.lab.home(nat))
                try await server.line(containing: "listening")
                let peer = try await world.peer(behind: nat)
                let made = try await peer.command(["--mp", "5201", "--both"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(5201).port
                for direction in [[], ["-R"]] {
                    let words =
                        ["-c", Lab.relayAddress, "-p", "\(port)", "-u", "-b", "20M", "-t", "2", "-J"] + direction
                    let ran = try await s.run("iperf3", "iperf3", words, in: world.lab.visitor, within: .seconds(30))
                    try #require(ran.status == 0, "\(ran.stdout.suffix(500)) \(ran.stderr)")
                    let report = try #require(
                        try JSONSerialization.jsonObject(with: Data(ran.stdout.utf8)) as? [String: Any])
                    let sum = try #require((report["end"] as? [String: Any])?["sum"] as? [String: Any])
                    let lost = try #require(sum["lost_percent"] as? Double)
                    let packets = try #require(sum["packets"] as? Int)
                    print("iperf3 -u \(direction): \(packets) datagrams, \(lost) % lost")
                    try #require(packets > 3_000 && lost < 2, "\(packets) datagrams, \(lost) % lost")
                }
            }
        }
    }
}
