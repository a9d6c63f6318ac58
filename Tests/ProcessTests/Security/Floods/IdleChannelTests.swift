import Foundation
import PeerCore
import PeerWire
import TestSupport
import Testing

extension ProcessTests {
    /// A member that opens data channels which nobody uses.
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct IdleChannelTests {
        @Test(
            "unused data channels take no descriptor that another member's visitors need, now and when they come again"
        )
        func hoard() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                // 1,024 of them are for sessions, handshakes and commands, or half.
                let files = Scale.pick(768, long: 8_192)
                let relay = try await s.relay { $0.wrapper = ["/usr/bin/prlimit", "--nofile=\(files)"] }
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let idle = try relay.program.facts().descriptors
                var members: [RudePeer] = []
                defer { for member in members { member.stop() } }
                for number in 0..<12 {
                    let member = try RudePeer(UInt8(0x91 + number))
                    members.append(member)
                    try await member.join(relay.settings.serverPort ?? 0)
                }
                // What is closed is opened again, four times a second.
                for member in members { member.hold(channels: Scale.pick(60, long: 636)) }
                var most = 0
                for round in 0..<Scale.pick(6, long: 20) {
                    if round == 0 {
                        try await eventually("the channels are there", within: .seconds(30)) {
                            members.reduce(0) { $0 + $1.channels } >= Scale.pick(300, long: 1_500)
                        }
                    }
                    most = max(most, try relay.program.facts().descriptors)
                    let crowd = try s.startVisitor(
                        "hold", ["--port", "\(row.port)", "--connections", "12"], seconds: 20)
                    try await crowd.line(containing: "held", within: .seconds(10))
                    crowd.kill()
                    s.forget(crowd)
                    try await s.expectEcho("127.0.0.1", row.port)
                    try await Task.sleep(for: .milliseconds(500))
                }
                print("\(idle) of \(files) descriptors without them, \(most) at most with them")
                let standing = try #require(try await relay.command(["--view-rpm", "--json"]).stdout as String?)
                #expect(!standing.contains("no descriptors are left"), "\(standing)")
                #expect(relay.program.find("no descriptors are left") == nil)
                #expect(peer.program.find("trying again") == nil, "the other one's session ended")
            }
        }
    }
}
