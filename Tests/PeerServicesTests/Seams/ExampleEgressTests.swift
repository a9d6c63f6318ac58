import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

/// The example of a way out: it answers calls to one mapping itself. This type, and a line where the lane is made.
private final class Greeting: Egress {
    let offer = Router.Offer(EgressName(rawValue: "greeting"), to: .own, for: [.visitor])
    private weak var lane: Lane?
    private let mapping: MappingID

    init(on lane: Lane, for mapping: MappingID) {
        self.lane = lane
        self.mapping = mapping
    }

    func take(_ call: consuming Call) {
        guard let lane else { return }
        guard call.terms.destination == .own(mapping) else { return lane.pass(call) }
        lane.count(call.terms.destination) { $0.connections += 1 }
        let channel = ByteChannel(on: lane.loop, call.intoStream(), isRegistered: false)
        channel.send(Array("hello".utf8))
        channel.closeAfterFlush()
    }
}

/// The example of a frontend: a port of this machine that leads to one mapping. This type, and a line where the lane is
/// made.
private final class LocalPort: Frontend {
    let port: UInt16
    private(set) var ticks = 0
    private let listener: Listener

    init(on lane: Lane, to mapping: MappingID, as caller: Router.Caller = .visitor) throws {
        listener = try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
        port = listener.address.port
        try listener.listen()
        try listener.accept(on: lane.loop) { [weak lane] stream, _ in
            lane?.take(Call(stream, Call.Terms(to: .own(mapping), portOffset: 0, caller: caller)))
        }
    }

    func timePassed() { ticks += 1 }
}

@Suite("A lane with an example of a frontend and of an egress")
struct ExampleEgressTests {
    private struct Parts {
        let lane: Lane
        let ports: [LocalPort]
    }

    private let time = OwnedTime()
    private let greeted = MappingID(value: 1)
    private let silent = MappingID(value: 2)
    private let said: [UInt8] = [1, 2, 3, 4, 5]

    /// A lane with a port for each of these callers.
    private func lane(_ callers: [(MappingID, Router.Caller)]) throws -> OnLoop<Parts> {
        let loop = try time.loop()
        return try OnLoop(on: loop) { [greeted] in
            let lane = Lane(on: loop)
            let ports = try callers.map { try LocalPort(on: lane, to: $0.0, as: $0.1) }
            for port in ports { lane.add(port) }
            lane.add(Greeting(on: lane, for: greeted))
            return Parts(lane: lane, ports: ports)
        }
    }

    @Test("brings a call to the egress that takes it, and counts it")
    func taken() throws {
        defer { time.stop() }
        let parts = try lane([(greeted, .visitor)])
        let port = try parts.run { $0.ports[0].port }
        #expect(try Visitor.says(said, to: port) == .bytes(Array("hello".utf8)))
        #expect(try parts.run { $0.lane.traffic()[.own(greeted)]?.connections } == 1)
    }

    @Test("resets a call that no egress takes")
    func passedOn() throws {
        defer { time.stop() }
        let parts = try lane([(silent, .visitor), (greeted, .checker)])
        for port in try parts.run({ $0.ports.map(\.port) }) {
            #expect(try Visitor.says(said, to: port) == .brokenOff)
        }
        #expect(try parts.run { $0.lane.traffic().isEmpty })
    }

    @Test("tells its parts of each tick")
    func ticks() throws {
        defer { time.stop() }
        let parts = try lane([(greeted, .visitor)])
        #expect(
            try parts.run { parts in
                parts.lane.timePassed()
                parts.lane.timePassed()
                return parts.ports[0].ticks
            } == 2)
    }
}
