import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// The laboratory with distance, without p2prc: what fails here is the laboratory.
    @Suite(.serialized, .enabled(if: DistantLab.isAvailable), .timeLimit(.minutes(2)))
    struct DistanceTests {
        struct Pings {
            var received = 0
            /// Of the round trips, in milliseconds.
            var least = 0.0
            var median = 0.0

            /// As ping(8) prints them, one line each.
            init(_ text: String) {
                let times = text.split(separator: "\n").compactMap { line in
                    line.firstMatch(of: #/time=([0-9.]+) ms/#).flatMap { Double($0.1) }
                }.sorted()
                received = times.count
                least = times.first ?? 0
                median = times.isEmpty ? 0 : times[times.count / 2]
            }
        }

        private func ping(
            _ s: Scenario, _ lab: DistantLab, _ index: Int, _ count: Int, every pause: Double = 0.02
        ) async throws -> Pings {
            let line = "ping -n -c \(count) -i \(pause) -W 1 \(lab.relayAddress(index)) || true"
            return Pings(try await s.shell(line, in: lab.visitor, within: .seconds(60)).stdout)
        }

        @Test("relays are as far as they should be, and distances change while packets fly")
        func delay() async throws {
            try await scenario { s in
                let wanted: [Double] = [0, 5, 20, 40, 80, 150]
                let lab = try await s.distantLab(relays: wanted.map { DistantLab.Distance($0) }, homes: 1)
                for (index, distance) in wanted.enumerated() {
                    let pings = try await ping(s, lab, index, 15)
                    #expect(pings.received == 15)
                    #expect(pings.least >= distance && pings.least < distance + 1.5, "\(distance): \(pings)")
                }
                try lab.setDistance(ofRelay: 1, .init(65))
                let later = try await ping(s, lab, 1, 15)
                #expect(later.least >= 65 && later.least < 66.5, "\(later)")
                try lab.setDistance(ofRelay: 1, .init(20, jitter: 5))
                let shaken = try await ping(s, lab, 1, 50)
                #expect(shaken.least >= 20 && shaken.median > 22 && shaken.median < 29, "\(shaken)")
            }
        }

        @Test("as many packets are lost as should be")
        func loss() async throws {
            try await scenario { s in
                let lab = try await s.distantLab(relays: [.init(2, loss: 0.1)], homes: 0)
                // There and back: 19 % of 600, and six standard deviations either way (9.6 each).
                let pings = try await ping(s, lab, 0, 600, every: 0.005)
                let lost = 600 - pings.received
                #expect(lost >= 56 && lost <= 172, "\(lost) of 600 were lost")
                try lab.setBlackHole(ofRelay: 0, true)
                #expect(try await ping(s, lab, 0, 20, every: 0.005).received == 0)
                try lab.setBlackHole(ofRelay: 0, false)
                #expect(try await ping(s, lab, 0, 20, every: 0.005).received == 20)
                try lab.setPlugged(relay: 0, false)
                #expect(try await ping(s, lab, 0, 20, every: 0.005).received == 0)
                try lab.setPlugged(relay: 0, true)
                try await eventually("the cable is in again", within: .seconds(5)) {
                    try await ping(s, lab, 0, 3).received == 3
                }
            }
        }

        @Test("a TCP stream runs at more than 100 Mbit/s over 20 ms, and arrives whole")
        func throughput() async throws {
            try await scenario { s in
                let lab = try await s.distantLab(relays: [.init(20)], homes: 1)
                _ = try await s.service("http", port: 8080, in: lab.relay(0))
                let size = 100 << 20
                let wanted = try await s.curl("http://127.0.0.1:8080/sha256/\(size)", in: lab.relay(0))
                let url = "http://\(lab.relayAddress(0)):8080/blob/\(size)"
                var text = ""
                let took = try await milliseconds {
                    text = try await s.shell(
                        "curl -sS -m 60 \(url) | sha256sum | head -c 64", in: lab.home(0), within: .seconds(70)
                    ).stdout
                }
                #expect(text + "\n" == wanted)
                let rate = Double(size) * 8 / Double(took) / 1000
                s.note("\(Int(rate)) Mbit/s")
                #expect(rate > 100, "\(Int(rate)) Mbit/s")
            }
        }

        @Test("twelve namespaces are there within seconds; homes and walls are reached from inside only")
        func topology() async throws {
            try await scenario { s in
                var made: DistantLab?
                let took = try await milliseconds {
                    made = try await s.distantLab(relays: [5, 20, 40].map { .init($0) }, homes: 3, walls: 1)
                }
                let lab = try #require(made)
                #expect(lab.size == 12)
                #expect(took < 10_000, "it took \(took) ms")
                _ = try await s.service("http", port: 8080, in: lab.relay(0))
                let url = "http://\(lab.relayAddress(0)):8080/"
                for place in [lab.home(0), lab.home(2), lab.wall(0), lab.visitor] {
                    #expect(try await s.curl(url, in: place) == "hello from labtool\n")
                }
                _ = try await s.service("http", port: 8080, in: lab.wall(0))
                let words = ["-s", "-m", "1", "http://\(lab.wallAddress(0)):8080/"]
                #expect(try await s.run("curl", "curl", words, in: lab.visitor).status == 28)
            }
        }
    }
}
