import PeerStorage
import Testing

@testable import P2PRCKit

/// What is left of a listing whose node was stopped or killed.
@Suite struct StoppableTests {
    @Test func `nothing is verified or connected at a node that is gone, and what waits goes on waiting`() {
        let documents = EveryTextTests.documents(target: "192.0.2.9:80", host: "192.0.2.1", name: "home")
        var mappings = documents.mappings
        #expect(mappings.mappings.contains { $0.state == .verified })
        mappings.mappings[0].state = .waiting
        let stopped = mappings.stopped()
        #expect(stopped.mappings.map(\.state) == [.waiting] + mappings.mappings.dropFirst().map { _ in .offline })
        #expect(stopped.mappings.allSatisfy { $0.verifiedBy.isEmpty && $0.blindPort != nil })
        #expect(stopped.stopped() == stopped)
        let servers = documents.servers.stopped().servers
        #expect(!servers.contains { [.connected, .connecting, .refused].contains($0.state) })
        #expect(servers.contains { $0.state == .isSelf } && servers.contains { $0.state == .stopped })
    }
}
