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
            "two nearest relays with closed ports: a third is used within 10 s, and visitors are never sent to the others"
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
                    "verified at the third \(took) ms after the node listened, \(ContinuousClock.now - start) after all began"
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
