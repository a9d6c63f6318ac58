import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The benchmark itself, in a round so small that its figures mean nothing.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct BenchmarkTests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        private func bench(_ s: Scenario, _ words: [String]) async throws -> Finished {
            try await s.run(
                "bench", Self.root.appending(path: "Benchmarks/bench").path,
                ["--quick", "--rounds", "1", "--seconds", "0.2", "--p2prc", try Binaries.product()] + words,
                within: .seconds(60))
        }

        @Test("the benchmark measures this program and the direct way, and what it writes fits its schema")
        func round() async throws {
            try await scenario { s in
                let file = s.folder + "/bench.json"
                let rows = ["bulk-up-1", "bulk-down-8", "ping-1", "connect-64", "fair", "fair-4", "map"]
                let ended = try await bench(
                    s, ["--rows", rows.joined(separator: ","), "--subjects", "direct,p2prc-plain", "--json", file])
                #expect(ended.status == 0, "\(ended.stdout)\(ended.stderr)")
                let check =
                    "import json, sys, jsonschema; jsonschema.validate(*[json.load(open(f)) for f in sys.argv[1:]])"
                let schema = Self.root.appending(path: "json/schema/bench.schema.json").path
                let verdict = try await s.run("python3", "/usr/bin/python3", ["-c", check, file, schema])
                #expect(verdict.status == 0, "\(verdict.stderr)")
                let data = try #require(FileManager.default.contents(atPath: file))
                let result = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
                let samples = try #require(result["samples"] as? [[String: Any]])
                #expect(samples.filter { $0["error"] != nil }.isEmpty, "\(samples)")
                #expect(Set(samples.compactMap { $0["row"] as? String }) == Set(rows))
            }
        }

        @Test("over a distance the benchmark measures both ways, or says why it cannot")
        func distance() async throws {
            try await scenario { s in
                let file = s.folder + "/bench.json"
                let ended = try await bench(
                    s, ["--rows", "ping-1,distance-5", "--subjects", "direct,p2prc-plain", "--json", file])
                #expect(ended.status == 0, "\(ended.stdout)\(ended.stderr)")
                let data = try #require(FileManager.default.contents(atPath: file))
                let result = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
                let samples = try #require(result["samples"] as? [[String: Any]])
                #expect(samples.filter { $0["error"] != nil }.isEmpty, "\(samples)")
                let rows = Set(samples.compactMap { $0["row"] as? String })
                guard !ended.stderr.contains("left out: the rows distance-5") else {
                    #expect(rows == ["ping-1"] && !DistantLab.isAvailable, "\(ended.stderr)")
                    return
                }
                #expect(rows == ["ping-1", "distance-5"])
                // The way there and back over both legs takes 20 ms, and nobody can be faster than light.
                for case let figures as [String: Any] in samples.map({ $0["figures"] as Any }) {
                    guard let exchange = figures["exchange_ms"] as? Double else { continue }
                    #expect(exchange >= 20 && exchange < 60, "\(figures)")
                }
            }
        }

        @Test("the benchmark that misses a bound says so with its exit code, if that was asked for")
        func gate() async throws {
            try await scenario { s in
                let bounds = s.folder + "/bounds.json"
                let bound =
                    #"{"bounds": [{"row": "ping-1", "figure": "p50_us", "subject": "direct", "at_most": 0.001}]}"#
                try bound.write(toFile: bounds, atomically: true, encoding: .utf8)
                let words = ["--rows", "ping-1", "--subjects", "direct", "--bounds", bounds]
                for (more, status) in [([], 0), (["--gate"], 1)] {
                    let ended = try await bench(s, words + more + ["--json", s.folder + "/bench.json"])
                    #expect(ended.status == status, "\(ended.stdout)\(ended.stderr)")
                    #expect(ended.stdout.contains("**missed**"))
                }
            }
        }

        @Test("a row that there is none of is a wrong command line")
        func unknownRow() async throws {
            try await scenario { s in
                let ended = try await bench(s, ["--rows", "bulk-sideways"])
                #expect(ended.status == 2)
                #expect(ended.stderr.contains("there is no 'bulk-sideways'"))
            }
        }
    }
}
