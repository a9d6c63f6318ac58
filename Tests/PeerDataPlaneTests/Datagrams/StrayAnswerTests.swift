import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerDataPlane

/// What the peer makes of datagrams that come to a flow's socket from elsewhere than the target.
@Suite("Answers from elsewhere than the target", .serialized)
struct StrayAnswerTests {
    /// A session with one mapping to a service.
    private struct Way {
        let bench: DatagramBench
        let service: DatagramParty
        /// Another socket of the service's host.
        let elsewhere: DatagramParty
        /// The public one.
        let port: UInt16

        /// - Parameter answers: whether the service says something by itself.
        init(isIPv6: Bool = false, answers: Bool = false) throws {
            let bench = try DatagramBench()
            try bench.begin()
            let host =
                isIPv6
                ? SocketAddress.Host.ipv6([UInt8](repeating: 0, count: 15) + [1], scope: 0)
                : SocketAddress.Host.ipv4([127, 0, 0, 1])
            let service = try DatagramParty(
                on: bench.world, try DatagramSocket.bound(port: 0, on: host, .atTheEdge),
                answer: { answers ? $0.bytes : nil })
            elsewhere = try DatagramParty(
                on: bench.world, try DatagramSocket.bound(port: 0, on: host, .atTheEdge))
            port = try #require(try bench.expose(service.port, on: host).first)
            self.bench = bench
            self.service = service
        }

        var traffic: DatagramTraffic {
            get throws { try bench.peerLoop.on { bench.targets.traffic()[bench.claim.mapping] } ?? DatagramTraffic() }
        }

        var listeners: Int { get throws { try bench.peerLoop.on { bench.targets.listenerCount } } }

        /// A visitor said something that the service has heard, from there.
        func visitor() throws -> (visitor: DatagramParty, from: DatagramAddress) {
            let visitor = try DatagramParty(on: bench.world, to: port)
            let former = try service.told.count
            try visitor.send([[1]])
            try eventually("the service hears it") { try service.told.count == former + 1 }
            return (visitor, try #require(try service.told.last?.from))
        }
    }

    @Test("are counted and told once for a flow, reach no visitor, and are no answer", arguments: [false, true])
    func counted(_ isIPv6: Bool) throws {
        let way = try Way(isIPv6: isIPv6)
        let (visitor, from) = try way.visitor()
        #expect(from.isIPv4 != isIPv6)
        // More than one batch has, and an empty one.
        for count in 0..<100 { try way.elsewhere.send([[UInt8](repeating: 7, count: count)], to: from) }
        try eventually("all are counted") { try way.traffic.strays == 100 }
        let traffic = try way.traffic
        #expect(traffic.toVisitors == 0 && traffic.bytesToVisitors == 0 && traffic.flows == 1)
        #expect(try visitor.told.isEmpty)
        let told = way.bench.reports.withLock { $0 }.compactMap {
            report -> (mapping: MappingID, port: UInt16, from: DatagramAddress)? in
            guard case .strayAnswer(let mapping, let port, let source) = report else { return nil }
            return (mapping, port, source)
        }
        #expect(told.count == 1)
        let first = try #require(told.first)
        #expect(first.mapping == way.bench.claim.mapping && first.port == 0)
        #expect(first.from.port == way.elsewhere.port)
        // The flow's socket is as good as before.
        try way.service.send([[9]], to: from)
        try eventually("the visitor hears the service") { try visitor.told.map(\.bytes) == [[9]] }
    }

    @Test("of a target that is merely tried again, it is told that a datagram came back, and of no other")
    func triedAgain() throws {
        let way = try Way(answers: true)
        let count = {
            way.bench.reports.withLock { $0 }.filter { if case .targetAnswered = $0 { true } else { false } }.count
        }
        let first = try way.visitor()
        try eventually("it is answered") { try first.visitor.told.count == 1 }
        #expect(count() == 0)
        try way.bench.change { $0.doubted = [0] }
        let second = try way.visitor()
        try eventually("it is told") { count() == 1 }
        withExtendedLifetime(second) {}
    }

    @Test("are listened for beside four flows at a time, until the service has answered one of them")
    func places() throws {
        let way = try Way()
        let flows = try (0..<6).map { _ in try way.visitor() }
        #expect(try way.listeners == StrayWatch.places)
        #expect(Set(flows.map(\.from)).count == flows.count)
        // One that is not listened beside counts nothing, and an answer there ends it for the others.
        try way.elsewhere.send([[1]], to: flows[0].from)
        try eventually("it is counted") { try way.traffic.strays == 1 }
        try way.service.send([[2]], to: flows[5].from)
        try eventually("the visitor hears it") { try flows[5].visitor.told.map(\.bytes) == [[2]] }
        #expect(try way.listeners == 0)
        let later = try way.visitor()
        #expect(try way.listeners == 0)
        try way.elsewhere.send([[1]], to: flows[0].from)
        try way.service.send([[3]], to: flows[0].from)
        try eventually("the first one hears what came after it") { try flows[0].visitor.told.map(\.bytes) == [[3]] }
        #expect(try way.traffic.strays == 1)
        withExtendedLifetime(later) {}
    }

    @Test("are listened for no longer than the flow is, and nothing is left when the mapping goes")
    func over() throws {
        let way = try Way()
        let bench = way.bench
        let visitors = try (0..<3).map { _ in try way.visitor() }
        #expect(try way.listeners == 3)
        try bench.peerLoop.on { bench.targets.abort(bench.claim.mapping) }
        #expect(try way.listeners == 0)
        #expect(try bench.peerLoop.on { bench.targets.count } == 0)
        withExtendedLifetime(visitors) {}
    }

    @Test("of a service that answers rightly leave no listener")
    func right() throws {
        let way = try Way(answers: true)
        let (visitor, _) = try way.visitor()
        try eventually("an answer") { try visitor.told.count == 1 }
        #expect(try way.listeners == 0)
        #expect(try way.traffic.strays == 0)
    }
}
