import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// Relays whose sessions stand, and whose ports nobody reaches.
    @Suite(.serialized, .enabled(if: DistantLab.isAvailable), .timeLimit(.minutes(10)))
    struct UselessRelayTests {
        /// What a hook was told, run after run.
        private func told(_ file: String) -> [[Substring]] {
            let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
                $0.split(separator: " ")
            }
        }

        @Test(
            "two nearest relays with closed ports: a third is used within 10 s, and no visitor is sent to the others"
        )
        func closed() async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let start = ContinuousClock.now
                let town = try await MeshTown(
                    s, relays: [10, 4, 6].map { .init($0) }, config: "hook = 'echo $P2PRC_HOSTS >> \(file)'",
                    closed: [1, 2], isNamed: false)
                let good = town.lab.relayAddress(0)
                let took = try await milliseconds {
                    try await eventually("it is verified at the third", within: .seconds(20), every: .milliseconds(50))
                    {
                        try await town.verified().contains { $0.address == good }
                    }
                }
                s.note(
                    "verified at the third \(took) ms after the node listened, "
                        + "\(ContinuousClock.now - start) after all began"
                )
                #expect(took < 10_000, "it took \(took) ms")
                #expect(
                    try await s.curl("http://\(MeshTown.address(try await town.verified()[0]))/", in: town.lab.visitor)
                        == "home 0")
                // Long enough for both to be judged.
                try await eventually("the others are told from it", within: .seconds(40)) {
                    let why = try await town.homes[0].command(["--view-rps", "--explain"])
                    return why.stdout.split(separator: "\n").count { $0.contains("its public ports cannot be reached") }
                        == 2
                }
                let first = try #require(try await town.homes[0].viewRPM().first { $0.leads(to: MeshTown.local) })
                #expect(first.address == good && first.state == "verified")
                let runs = told(file)
                #expect(!runs.isEmpty && runs.allSatisfy { $0 == [Substring(good)] }, "\(runs)")
            }
        }

        @Test(
            "ports open to their peer alone are never verified or published, and another relay serves within 10 s",
            arguments: [2, 3])
        func openToItsPeer(_ count: Int) async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let town = try await MeshTown(
                    s, relays: [10, 4, 20].prefix(count).map { .init($0) }, walls: 1,
                    config: "hook = 'echo $P2PRC_HOSTS >> \(file)'", isNamed: false, late: (homes: 1, relays: 0))
                try town.lab.setOpen(MeshTown.ports, ofRelay: 1, false, but: town.lab.homeAddress(0))
                let (good, bad) = (town.lab.relayAddress(0), town.lab.relayAddress(1))
                for index in 0...1 {
                    try await eventually("relay\(index) is proven", within: .seconds(40), every: .milliseconds(200)) {
                        try await town.walls[0].candidates().contains { $0.name == "relay\(index)" && $0.isProven }
                    }
                }
                let home = try await town.startHome()
                try await home.listening()
                var seen: Set<String> = []
                func isNowhereWrong() async throws -> [MappingRow] {
                    let rows = try await home.viewRPM().filter { $0.leads(to: MeshTown.local) }
                    let there = rows.filter { $0.address == bad }
                    seen.formUnion(there.map { "\($0.state ?? "-"), \($0.reason ?? "-")" })
                    try #require(!there.contains { $0.state == "verified" }, "\(there)")
                    return rows
                }
                let took = try await milliseconds {
                    try await eventually(
                        "it is verified at another one", within: .seconds(20), every: .milliseconds(20)
                    ) {
                        try await isNowhereWrong().contains { $0.state == "verified" }
                    }
                }
                s.note("verified at another one \(took) ms after the node listened")
                #expect(took < 10_000, "it took \(took) ms")
                // Where there is a third one, it is left before another has said what is wrong there.
                try await eventually("it is said what is wrong", within: .seconds(40), every: .milliseconds(50)) {
                    let rows = try await isNowhereWrong().filter { $0.address == bad }
                    if rows.contains(where: { $0.reason?.contains("from this node's own address alone") == true }) {
                        return true
                    }
                    return try await home.candidates().contains {
                        $0.address.hasPrefix(bad) && $0.reason.hasPrefix("left: visitors were not served there")
                    }
                }
                // Others are asked again meanwhile, and in the long form that relay is tried again.
                try await throughout(.seconds(Scale.pick(20, long: 150)), "it is not verified") {
                    try await isNowhereWrong().contains { $0.address == good && $0.state == "verified" }
                }
                s.note("there it was \(seen.sorted())")
                #expect(home.verifiedLines().allSatisfy { $0.host != bad } && !home.verifiedLines().isEmpty)
                let runs = told(file)
                #expect(!runs.isEmpty && runs.allSatisfy { !$0.isEmpty && !$0.contains(Substring(bad)) }, "\(runs)")
                let first = try #require(try await isNowhereWrong().first)
                #expect(try await s.curl("http://\(MeshTown.address(first))/", in: town.lab.visitor) == "home 0")
            }
        }

        @Test(
            "a relay whose session pings while no data channel gets through is left for another one within 30 s",
            arguments: ["drop", "reject with tcp reset"])
        func carriesNothing(_ verdict: String) async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let town = try await MeshTown(
                    s, relays: [10, 4, 20].map { .init($0) }, config: "hook = 'echo $P2PRC_HOSTS >> \(file)'",
                    isNamed: false)
                let near = town.lab.relayAddress(1)
                let rows = try await town.settled()
                let row = try #require(rows.first { $0.address == near }, "\(rows)")
                try await eventually("the hook names both", within: .seconds(20)) { told(file).last?.count == 2 }
                let line = try await town.relays[1].program.line(containing: "session of home0")
                let session = try #require(line.split(separator: ":").last.flatMap { Int($0) }, "\(line)")
                try town.lab.leaveAlone(session, of: 0, atRelay: 1, by: verdict)
                let isOn = Locked(true)
                let (url, place) = ("http://\(MeshTown.address(row))/", town.lab.visitor)
                let visitors = (0..<4).map { _ in
                    Task { while isOn.with({ $0 }) { _ = try? await s.curl(url, in: place) } }
                }
                let took = try await milliseconds {
                    try await eventually("the hook names two others", within: .seconds(60)) {
                        let last = told(file).last ?? []
                        return last.count == 2 && !last.contains(Substring(near))
                    }
                }
                isOn.with { $0 = false }
                for task in visitors { await task.value }
                s.note("left after \(took) ms")
                #expect(took < 30_000, "it took \(took) ms")
                #expect(town.homes[0].program.find("carries no visitors") != nil)
                for row in try await town.settled(without: near) {
                    #expect(try await s.curl("http://\(MeshTown.address(row))/", in: town.lab.visitor) == "home 0")
                }
            }
        }

        // A mapping that was verified is looked at again after two minutes.
        @Test(
            "a relay whose ports are closed later is replaced, and is back when they are open again",
            .enabled(if: Scale.isLong))
        func closesLater() async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let town = try await MeshTown(
                    s, relays: [4, 6, 8].map { .init($0) }, config: "hook = 'echo $P2PRC_HOSTS >> \(file)'",
                    isNamed: false)
                let rows = try await town.settled()
                let victim = try town.index(of: rows[0])
                let address = town.lab.relayAddress(victim)
                try await eventually("the hook names both", within: .seconds(20)) { told(file).last?.count == 2 }
                try town.lab.setOpen(MeshTown.ports, ofRelay: victim, false)
                try await eventually("the hook names it no more, and the third", within: .seconds(160)) {
                    let last = told(file).last ?? []
                    return last.count == 2 && !last.contains(Substring(address))
                }
                try town.lab.setOpen(MeshTown.ports, ofRelay: victim, true)
                let now = try await town.settled()
                for row in now.prefix(2) {
                    #expect(try await s.curl("http://\(MeshTown.address(row))/", in: town.lab.visitor) == "home 0")
                }
                #expect(told(file).allSatisfy { !$0.isEmpty })
            }
        }
    }
}
