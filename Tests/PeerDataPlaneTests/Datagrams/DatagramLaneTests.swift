import Glibc
import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerDataPlane

@Suite("Datagrams through a relay", .serialized)
struct DatagramLaneTests {
    private static func text(_ count: Int, _ seed: Int = 0) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &+ $0 >> 8) }
    }

    /// A session with one mapping to a service.
    private struct Way {
        let bench: DatagramBench
        let service: DatagramParty
        /// The public one.
        let port: UInt16

        init(
            _ protection: DatagramSecret.Protection = .encrypted, filter: NetworkFilter = NetworkFilter(),
            limits: Grant.Limits? = nil, answer: @escaping (DatagramParty.Datagram) -> [UInt8] = { $0.bytes }
        ) throws {
            bench = try DatagramBench()
            try bench.begin(protection)
            service = try DatagramParty(on: bench.world, answer: answer)
            if let limits { try bench.limit(limits) }
            port = try #require(try bench.expose(service.port, filter: filter).first)
        }

        func visitor() throws -> DatagramParty { try DatagramParty(on: bench.world, to: port) }

        /// A visitor to whom this was said already, and who has its answer.
        func known(saying bytes: [UInt8]) throws -> DatagramParty {
            let visitor = try visitor()
            try visitor.send([bytes])
            try eventually("an answer") { try visitor.told.count == 1 }
            return visitor
        }
    }

    @Test(
        "come to the service and back, whatever their size", arguments: DatagramSecret.Protection.allCases)
    func sizes(_ protection: DatagramSecret.Protection) throws {
        let way = try Way(protection)
        let (bench, visitor) = (way.bench, try way.visitor())
        let sizes = [0, 1, 64, 1_150, 1_200, 1_472, 3_000, 9_000, 30_000]
        // The ways' size is found out by and by.
        try eventually("large datagrams come through") { try bench.peerLoop.on { bench.peer?.largest == 65_507 } }
        for (turn, size) in sizes.enumerated() {
            try visitor.send([Self.text(size, turn)])
            try eventually("\(size) bytes come back") { try visitor.told.count == turn + 1 }
            #expect(try visitor.told.last?.bytes == Self.text(size, turn))
        }
        #expect(try way.service.told.map(\.bytes.count) == sizes)
    }

    @Test("of each visitor come from a port of their own, and its answers go to nobody else")
    func apart() throws {
        let way = try Way { $0.bytes + [UInt8($0.from.port >> 8), UInt8($0.from.port & 0xff)] }
        let visitors = try (0..<200).map { _ in try way.visitor() }
        for turn: UInt8 in 0..<3 {
            for (number, visitor) in visitors.enumerated() { try visitor.send([[turn, UInt8(number)]]) }
        }
        var sources: Set<[UInt8]> = []
        for (number, visitor) in visitors.enumerated() {
            try eventually("answers of \(number)") { try visitor.told.count == 3 }
            let told = try visitor.told.map(\.bytes)
            #expect(
                told.map { Array($0.prefix(2)) } == [[0, UInt8(number)], [1, UInt8(number)], [2, UInt8(number)]])
            #expect(Set(told.map { Array($0.suffix(2)) }).count == 1, "one flow, one port")
            sources.insert(Array(told[0].suffix(2)))
        }
        #expect(sources.count == visitors.count)
    }

    @Test("go to the port of the mapping that they came to")
    func ports() throws {
        let bench = try DatagramBench()
        try bench.begin()
        var services: [DatagramParty] = []
        // Neighbouring ports of the target.
        while services.count < 3 {
            services = []
            let first = try DatagramParty(on: bench.world) { _ in [0] }
            services = [first]
            for offset: UInt16 in 1...2 {
                guard
                    let socket = try? DatagramSocket.bound(
                        port: first.port + offset, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
                else { break }
                services.append(try DatagramParty(on: bench.world, socket) { _ in [UInt8(offset)] })
            }
        }
        let ports = try bench.expose(services[0].port, count: 3)
        for (offset, port) in ports.enumerated() {
            let visitor = try DatagramParty(on: bench.world, to: port)
            try visitor.send([[9]])
            try eventually("an answer") { try visitor.told.map(\.bytes) == [[UInt8(offset)]] }
        }
    }

    @Test("go on in the same flow when the session is another one, with the target's same socket")
    func anotherSession() throws {
        let way = try Way()
        let (bench, visitor) = (way.bench, try way.known(saying: [1]))
        try bench.begin()
        try bench.relayLoop.on {
            bench.ports.listen(bench.claim, [], isAll: false, for: try #require(bench.relay).session, NetworkFilter())
        }
        try visitor.send([[2]])
        try eventually("an answer") { try visitor.told.count == 2 }
        #expect(Set(try way.service.told.map(\.from)).count == 1)
    }

    @Test("of a flow that the peer has forgotten open it anew with the next one")
    func forgotten() throws {
        let way = try Way()
        let (bench, visitor) = (way.bench, try way.known(saying: [1]))
        try bench.peerLoop.on { bench.targets.abort(bench.claim.mapping) }
        try visitor.send([[2]])
        try eventually("an answer again") {
            try visitor.send([[3]])
            return try visitor.told.count >= 2
        }
    }

    @Test("have as many flows at the peer as its user says, and as its descriptors allow", arguments: [true, false])
    func places(_ isSaid: Bool) throws {
        // The system's numbers of descriptors are those of the whole test program: the share alone is looked at.
        let bench = try isSaid ? DatagramBench(flows: 2) : DatagramBench(descriptors: 2_014)
        let most = isSaid ? 2 : 1_002
        #expect(bench.targets.limits.flows == most)
        guard isSaid else { return }
        let service = try DatagramParty(on: bench.world) { $0.bytes }
        try bench.begin()
        let port = try bench.expose(service.port)[0]
        for _ in 0..<4 {
            let visitor = try DatagramParty(on: bench.world, to: port)
            try visitor.send([[1]])
            try eventually("an answer") { try !visitor.told.isEmpty }
        }
        #expect(try bench.peerLoop.on { bench.targets.count } == most)
        #expect(try bench.peerLoop.on { bench.targets.traffic()[bench.claim.mapping]?.displaced } == 2)
        withExtendedLifetime(service) {}
    }

    @Test("of visitors that the mapping does not let in go nowhere, and take no place")
    func filtered() throws {
        let way = try Way(filter: NetworkFilter(allow: [try Network("192.0.2.0/24")], deny: []))
        let (bench, visitor) = (way.bench, try way.visitor())
        try visitor.send([[1], [2]])
        try eventually("they are counted") {
            try bench.relayLoop.on { bench.ports.traffic()[bench.claim]?.refused == 2 }
        }
        #expect(try way.service.told.isEmpty)
    }

    @Test("are held to the membership's visitors, and to its bytes a second")
    func limited() throws {
        let way = try Way(limits: Grant.Limits(connections: 2, bytesPerSecond: 20_000)) { _ in [1] }
        let bench = way.bench
        let visitors = try (0..<2).map { _ in try way.known(saying: [7]) }
        let third = try way.visitor()
        try third.send([[7]])
        try eventually("the third one is turned away") {
            try bench.relayLoop.on { bench.ports.traffic()[bench.claim]?.refused == 1 }
        }
        try visitors[0].send((0..<40).map { _ in Self.text(1_000) })
        try eventually("what is too much is let go of") {
            try bench.relayLoop.on { (bench.ports.traffic()[bench.claim]?.limited ?? 0) >= 15 }
        }
        #expect(try way.service.told.count <= 2 + 25)
    }

    @Test("have the visitor's address in front where the target is told, and answers have nothing")
    func told() throws {
        let way = try Way { Array($0.bytes.suffix(1)) }
        let bench = way.bench
        let place = SocketAddress(host: .ipv4([203, 0, 113, 11]), port: 20_053)
        try bench.change { route in
            route.proxyProtocol = .v2
            route.places = [DatagramBench.key: place]
        }
        let visitors = try (0..<2).map { _ in try way.visitor() }
        for (number, visitor) in visitors.enumerated() {
            let from = VisitorAddress(isIPv6: false, host: [127, 0, 0, 1], port: visitor.port)
            let header = ProxyProtocol.v2.header(.datagram, from: from, to: place.visitorAddress)
            #expect(header.count == 28)
            for turn: UInt8 in 1...2 {
                try visitor.send([[turn, UInt8(number)]])
                try eventually("an answer") { try visitor.told.count == Int(turn) }
                #expect(try way.service.told.last?.bytes == header + [turn, UInt8(number)])
            }
            #expect(try visitor.told.map(\.bytes) == [[UInt8(number)], [UInt8(number)]])
        }
        // Of a flow that is under way no longer either.
        try bench.change { $0.proxyProtocol = .off }
        try visitors[0].send([[3]])
        try eventually("an answer") { try visitors[0].told.count == 3 }
        #expect(try way.service.told.last?.bytes == [3])
    }

    @Test("that are too long with the address in front are let go of and counted, the next one is not")
    func tooLongWithAddress() throws {
        let way = try Way()
        let bench = way.bench
        try bench.change { $0.proxyProtocol = .v2 }
        let visitor = DatagramAddress(HostAddress("192.0.2.7")!, port: 7)
        let opening = DatagramFrame.Opening(mapping: bench.claim.mapping, portOffset: 0, visitor: visitor)
        // As from a stream, which takes longer ones than datagrams between nodes can be.
        for size in [65_507 - 27, 65_507 - 28] {
            try bench.peerLoop.on {
                let peer = try #require(bench.peer)
                Self.text(size).withUnsafeBytes { bench.targets.visited(1, opening, $0, by: peer) }
                bench.peerLoop.datagrams?.flush()
            }
        }
        try eventually("the second one is there") { try way.service.told.map(\.bytes.count) == [65_507] }
        // Its answer is too long for the way back.
        try eventually("both are counted") {
            let traffic = try bench.peerLoop.on { bench.targets.traffic()[bench.claim.mapping] }
            return traffic?.tooLong == 2 && traffic?.fromVisitors == 1
        }
    }

    @Test("that strangers make up, replay or change reach nobody, and lead the answers nowhere else")
    func strangers() throws {
        let way = try Way()
        let (bench, visitor) = (way.bench, try way.known(saying: [1]))
        let stranger = try DatagramParty(on: bench.world, to: try #require(bench.hub.socket).local.port)
        var forged = [UInt8](repeating: 0, count: 60)
        forged[3] = UInt8(truncatingIfNeeded: try #require(bench.relay).number)
        for epoch: UInt8 in 0..<3 {
            forged[5] = epoch
            forged[10] = 0xff
            try stranger.send(Array(repeating: forged, count: 50))
        }
        try stranger.send([[], [1], Array(forged.prefix(27))])
        try visitor.send([[2]])
        try eventually("an answer") { try visitor.told.count == 2 }
        #expect(try stranger.told.isEmpty)
        #expect(try way.service.told.map(\.bytes) == [[1], [2]])
    }
}
