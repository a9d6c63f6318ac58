import Foundation
import TestSupport
import Testing

extension MeshTown {
    /// What becomes of a relay.
    enum Misfortune: String, CaseIterable, CustomTestStringConvertible {
        case killed, stopped, unplugged, swallowed
        var testDescription: String { rawValue }
    }

    func strike(_ misfortune: Misfortune, _ index: Int) throws {
        switch misfortune {
        case .killed: relays[index].program.kill()
        case .stopped: relays[index].program.signal(SIGSTOP)
        case .unplugged: try lab.setPlugged(relay: index, false)
        case .swallowed: try lab.setBlackHole(ofRelay: index, true)
        }
    }

    func mend(_ misfortune: Misfortune, _ index: Int) async throws {
        switch misfortune {
        case .killed: try await relays[index].restart()
        case .stopped: relays[index].program.signal(SIGCONT)
        case .unplugged: try lab.setPlugged(relay: index, true)
        case .swallowed: try lab.setBlackHole(ofRelay: index, false)
        }
    }

    /// What a home's hook was told, and a list that a visitor can read.
    struct Hook {
        private let folder: String
        private let name: String
        /// Addresses of the service, one to a line, the best first.
        var list: String { "\(folder)/\(name)-list" }
        private var log: String { "\(folder)/\(name)-log" }
        /// A line for the home's config.toml.
        var config: String { "hook = '/bin/sh \(folder)/\(name).sh'" }

        init(_ s: Scenario, _ name: String = "hook") throws {
            folder = s.folder
            self.name = name
            let script = """
                echo "$(date +%s%3N) $P2PRC_HOSTS" >> \(log)
                for host in $P2PRC_HOSTS; do
                    printf '%s\\n' "$P2PRC_MAPPINGS" | while read -r target protocol address; do
                        case "$target $address" in *":\(MeshTown.local) $host:"*) echo "$address" ;; esac
                    done
                done > \(list).new
                mv \(list).new \(list)

                """
            try Data(script.utf8).write(to: URL(filePath: "\(folder)/\(name).sh"))
        }

        static var now: Int { Int(Date.now.timeIntervalSince1970 * 1_000) }

        /// When it ran, in milliseconds since 1970, and with which hosts.
        var runs: [(at: Int, hosts: [String])] {
            let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ").map(String.init)
                return words.first.flatMap { Int($0) }.map { ($0, Array(words.dropFirst())) }
            }
        }

        /// It names so many hosts, and runs at once at the next change: it did not within the last 10 s.
        func quiet(hosts: Int) async throws {
            try await eventually(
                "the hook names \(hosts) hosts, and rests; \(runs.suffix(3))", within: .seconds(180),
                every: .milliseconds(100)
            ) {
                guard let last = runs.last, last.hosts.count >= hosts else { return false }
                return Self.now - last.at > 10_500
            }
        }
    }

    /// When a home was seen to work, in milliseconds.
    struct Arrival {
        /// At one relay.
        var first = 0
        /// At two.
        var both = 0
    }

    /// What homes print of their service's addresses.
    ///
    /// - Parameters:
    ///   - count: where there is one relay alone, 1.
    ///   - start: of the time; nil: of each home's process.
    func arrivals(
        of homes: Range<Int>, relays count: Int = 2, since start: ContinuousClock.Instant? = nil,
        within limit: Duration
    ) async throws -> [Arrival] {
        var arrivals = homes.map { _ in Arrival() }
        try await eventually(
            "homes \(homes) work at \(count) relays; \(arrivals)", within: limit, every: .milliseconds(20)
        ) {
            for (place, home) in homes.enumerated() where arrivals[place].both == 0 {
                let lines = self.homes[home].verifiedLines().filter { $0.target.hasSuffix(":\(Self.local)") }
                let passed = (ContinuousClock.now - (start ?? began[home])).inMilliseconds
                if !lines.isEmpty, arrivals[place].first == 0 { arrivals[place].first = passed }
                if Set(lines.map(\.host)).count >= count { arrivals[place].both = passed }
            }
            return arrivals.allSatisfy { $0.both > 0 }
        }
        return arrivals
    }
}
