import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// Datagrams at the rate of a tunnel's, and beside TCP where packets are lost.
    @Suite(.serialized, .timeLimit(.minutes(4)))
    struct DatagramRateTests {
        /// 50,000 a second are for a release build on a machine that does nothing else: two programs of the test and
        /// two nodes share its processors.
        @Test("two ends exchange datagrams of 1,420 bytes, as WireGuard's are, at an even pace")
        func exchange() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary)
                for rate in Scale.pick([2_000], long: [10_000, 20_000, 50_000]) {
                    let seconds = Scale.pick(2, long: 10)
                    let visitor = try await tunnel.visitor(rate: rate, seconds: seconds, bytes: 1_420)
                    let figures = try await DatagramFigures(of: visitor, within: .seconds(seconds + 20))
                    print("1,420 bytes, \(rate) a second for \(seconds) s, both ways: \(figures)")
                    if rate <= 10_000 { try #require(figures.lost < 1 && figures.flows == 1, "\(figures)") }
                    try #require(figures.sent >= rate * seconds * 3 / 4, "the visitor is too slow: \(figures)")
                }
            }
        }

        @Test(
            "where 2 % of packets are lost a download through the same tunnel delays datagrams by less than 5 ms",
            .enabled(if: DistantLab.isAvailable, "\(DistantLab.whyNot ?? "")"))
        func besideTCP() async throws {
            try await scenario { s in
                let lab = try await s.distantLab(relays: [.init(20, loss: 0.02)], homes: 1)
                let relay = try await s.relay(ports: World.ports, serverPort: 8088) {
                    $0.place = lab.relay(0)
                    $0.bind = nil
                }
                _ = try await s.service("datagram-echo", port: 5300, ["--sign"], in: lab.home(0))
                _ = try await s.service("http", port: 8080, in: lab.home(0))
                _ = try await s.service("datagram-echo", port: 5301, ["--bind", "0.0.0.0"], in: lab.relay(0))
                let peer = try await s.peer(of: relay) {
                    $0.place = lab.home(0)
                    $0.bind = nil
                    $0.serverPort = 8088
                    $0.relays = [lab.relayEndpoint(0)]
                }
                for words in [["--mp", "5300", "--udp"], ["--mp", "8080"]] {
                    try #require(try await peer.command(words).status == ExitCode.fine)
                }
                let port = try await peer.verified(5300).port
                let host = lab.relayAddress(0)
                let url = "http://\(host):\(try await peer.verified(8080).port)/blob/\(1 << 30)"

                let seconds = Scale.pick(3, long: 10)

                /// - Returns: the figures of the tunnel, and of both halves of the link at the same time.
                func measure(_ way: String) async throws -> (tunnel: DatagramFigures, link: [DatagramFigures]) {
                    // As fast as it can, the processors that the link is made of would be full, and not the link.
                    let words = [
                        "-s", "-m", "\(seconds)", "--limit-rate", "4M", "-o", "/dev/null", "-w", "%{size_download}",
                        url,
                    ]
                    let download = try s.start("curl", "curl", words, in: lab.visitor)
                    let visitors = try [(port, lab.visitor), (5301, lab.visitor), (5301, lab.home(0))].map {
                        port, place in
                        let words = ["--address", host, "--port", "\(port)", "--rate", "100", "--for", "\(seconds)"]
                        return try s.startVisitor("datagram-pings", words, seconds: 20, in: place)
                    }
                    var figures: [DatagramFigures] = []
                    for visitor in visitors {
                        figures.append(try await DatagramFigures(of: visitor, within: .seconds(20)))
                    }
                    try await download.exit(within: .seconds(10))
                    let bytes = try #require(Int(download.stdout), "\(download.transcript)")
                    print("\(way), beside \(bytes >> 10) KiB of TCP: \(figures[0])")
                    for (name, half) in zip(["visitor", "home"], figures.dropFirst()) {
                        print("    the link between \(name) and relay alone: \(half)")
                    }
                    try #require(bytes > 100_000)
                    return (figures[0], Array(figures.dropFirst()))
                }
                let ours = try await measure("datagrams at 2 % loss")
                // Of a machine that has other work, the slowest ones tell how long programs wait for a processor.
                try #require(ours.tunnel.p50 < ours.link.reduce(5_000) { $0 + $1.p50 }, "\(ours)")
                if Scale.isLong { try #require(ours.tunnel.p99 < ours.link.reduce(5_000) { $0 + $1.p99 }, "\(ours)") }
                try #require(ours.tunnel.lost < 18, "four times 2 % and four standard deviations: \(ours.tunnel)")

                let blocked = """
                    table inet blocked {
                        chain arriving { type filter hook input priority filter; udp dport 8088 drop; }
                    }
                    """
                try #require(try await s.run("nft", "nft", [blocked], in: lab.relay(0)).status == 0)
                // With something to carry the node finds out at once.
                let words = ["--address", host, "--port", "\(port)", "--for", "3"]
                let visitor = try s.startVisitor("datagram-pings", words, seconds: 10, in: lab.visitor)
                try await peer.program.line(containing: "no UDP gets through", within: .seconds(30))
                visitor.kill()
                let theirs = try await measure("datagrams over a stream at 2 % loss")
                try #require(theirs.tunnel.answered > 100, "\(theirs.tunnel)")
            }
        }
    }
}
