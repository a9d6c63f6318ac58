import Dispatch
import Glibc
import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerDataPlane

struct TimedOut: Error, CustomStringConvertible {
    let description: String
}

/// Returns as soon as `condition` holds.
func eventually(_ what: String, within seconds: Double = 10, _ condition: () throws -> Bool) throws {
    let deadline = DispatchTime.now() + seconds
    while try !condition() {
        guard DispatchTime.now() < deadline else { throw TimedOut(description: "never: \(what)") }
        usleep(1_000)
    }
}

/// A visitor or a service, on a loop of its own.
final class DatagramParty: DatagramReceiver, @unchecked Sendable {
    // Unchecked: touched on the loop's thread alone, from elsewhere through `on`.
    struct Datagram: Equatable {
        let bytes: [UInt8]
        let from: DatagramAddress
    }

    private let loop: EventLoop
    let socket: DatagramSocket
    private let answer: ((Datagram) -> [UInt8]?)?
    private var heard: [Datagram] = []
    private var errors = 0

    /// - Parameters:
    ///   - port: that it is connected to; `nil`: it is bound to one of 127.0.0.1.
    ///   - answer: what it says to a datagram.
    convenience init(on loop: EventLoop, to port: UInt16? = nil, answer: ((Datagram) -> [UInt8]?)? = nil) throws {
        let host = SocketAddress.Host.ipv4([127, 0, 0, 1])
        let socket =
            if let port {
                try DatagramSocket.connected(to: SocketAddress(host: host, port: port), .atTheEdge)
            } else {
                try DatagramSocket.bound(port: 0, on: host, .atTheEdge)
            }
        try self.init(on: loop, socket, answer: answer)
    }

    init(on loop: EventLoop, _ socket: DatagramSocket, answer: ((Datagram) -> [UInt8]?)? = nil) throws {
        self.loop = loop
        self.answer = answer
        self.socket = socket
        try loop.on { try self.socket.start(on: loop, self) }
    }

    var port: UInt16 { socket.local.port }
    var told: [Datagram] { get throws { try loop.on { self.heard } } }
    var failures: Int { get throws { try loop.on { self.errors } } }

    /// - Parameter end: `nil`: where its socket is connected to.
    func send(_ datagrams: [[UInt8]], to end: DatagramAddress? = nil) throws {
        try loop.on {
            let room = try #require(self.loop.datagrams)
            for bytes in datagrams {
                self.put(bytes, room) {
                    guard let end else { return room.push($0) }
                    room.push($0, to: end, from: DatagramAddress(high: 0, low: 0, port: 0))
                }
            }
            room.flush()
        }
    }

    private func put(_ bytes: [UInt8], _ room: DatagramRoom, _ push: (Int) -> Void) {
        guard let place = room.room(for: socket, bytes.count) else { return }
        bytes.withUnsafeBytes { if let base = $0.baseAddress { place.copyMemory(from: base, byteCount: $0.count) } }
        push(bytes.count)
    }

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        let datagram = Datagram(bytes: Array(bytes), from: source)
        heard.append(datagram)
        guard let said = answer?(datagram), let room = loop.datagrams else { return }
        put(said, room) { room.push($0, to: source, from: local) }
    }

    func failed(_ error: SystemError, on socket: DatagramSocket) { errors += 1 }

    func stop() throws { try loop.on { self.socket.stop() } }
}

/// Carries something of a loop to that loop and back.
private struct Handed<Value>: @unchecked Sendable {
    // Unchecked: touched by one thread after the other.
    let value: Value
}

private final class Box<Value>: @unchecked Sendable {
    // Unchecked: written before the other thread goes on.
    var result: Swift.Result<Value, any Error>?
}

extension EventLoop {
    /// Runs `body` on the loop and waits for what it returns.
    @discardableResult
    func on<Result>(_ body: @escaping () throws -> Result) throws -> Result {
        let (body, box, done) = (Handed(value: body), Box<Result>(), DispatchSemaphore(value: 0))
        execute {
            box.result = Swift.Result { try body.value() }
            done.signal()
        }
        guard done.wait(timeout: .now() + 20) == .success, let result = box.result else {
            throw TimedOut(description: "no answer of the loop")
        }
        return try result.get()
    }
}

/// A relay's lane and a peer's, each on a loop of its own, with a session's secret and loopback between them.
final class DatagramBench {
    let relayLoop: EventLoop
    let peerLoop: EventLoop
    let world: EventLoop
    let hub: DatagramHub
    let ports: DatagramPorts
    let targets: DatagramTargets
    let routes = RouteTable()
    /// What the peer's lane told, in its order.
    let reports = Locked<[PeerLane.Report]>([])
    private let directory = Directory()
    private(set) var relay: RelayDatagrams?
    private(set) var peer: PeerDatagrams?
    private var sessions: UInt64 = 0

    /// What a session's visitors are held to.
    private final class Directory: SessionDirectory {
        var quota: VisitorQuota?
        func terms(of session: SessionID) -> (source: HostAddress?, quota: VisitorQuota?)? { (nil, quota) }
        func load(with stream: borrowing PeerReactor.Stream) -> ReserveGate.Load {
            ReserveGate.Load(descriptors: 0, buffered: 0)
        }
    }

    /// From now on for ports that are exposed.
    func limit(_ limits: Grant.Limits) throws {
        try relayLoop.on { [self] in directory.quota = VisitorQuota(limits, at: relayLoop.now) }
    }

    static let key = NodeKey(bytes: [UInt8](repeating: 1, count: NodeKey.byteCount))!
    let claim = Claim(key: DatagramBench.key, mapping: MappingID(value: 5))

    /// - Parameter flows: of a mapping at the peer.
    init(flows: Int = 4_096, descriptors: Int = 10_000) throws {
        relayLoop = try EventLoop()
        peerLoop = try EventLoop()
        world = try EventLoop()
        for loop in [relayLoop, peerLoop, world] { try loop.start() }
        let supply = ReserveGate.Supply(limit: 10_000, reserve: 10)
        let policy = VisitorPolicy(
            filter: NetworkFilter(), reserve: ReserveGate(descriptors: supply, buffers: supply))
        let (relayLoop, peerLoop) = (relayLoop, peerLoop)
        ports = DatagramPorts(on: relayLoop, sessions: directory, policy: policy)
        hub = try relayLoop.on {
            let host = SocketAddress.Host.ipv4([127, 0, 0, 1])
            let hub = DatagramHub(
                on: relayLoop, try DatagramSocket.bound(port: 0, on: host, .betweenNodes, isShared: true))
            try hub.start()
            return hub
        }
        var limits = FlowTable.Limits()
        limits.flows = flows
        targets = DatagramTargets(
            on: peerLoop, routes: routes,
            share: DescriptorShare(.init(limit: descriptors, reserve: 10), lanes: 1), flows: limits,
            identity: { NodeIdentity(seed: [UInt8](repeating: 1, count: 32))! },
            report: { [reports] report in reports.withLock { $0.append(report) } })
    }

    /// A session begins, in the place of the one before; returns when the peer knows that datagrams come through.
    func begin(_ protection: DatagramSecret.Protection = .encrypted) throws {
        sessions += 1
        let session = SessionID(value: sessions)
        let number = UInt32(sessions)
        let bytes = (0..<32).map { UInt8(truncatingIfNeeded: sessions) &+ UInt8($0) }
        let secret = try #require(SessionSecrets(export: { _ in bytes })).datagramSecret
        try relayLoop.on { [self] in
            if let relay {
                hub.remove(relay.number)
                ports.remove(relay.session)
            }
            let sealed = SealedDatagrams(
                secret, protection, sending: .toPeer, channel: number, at: relayLoop.now)
            let channel = RelayDatagrams(
                on: relayLoop, number: number, session: session, key: Self.key, sealed, at: hub, to: ports)
            hub.add(channel)
            ports.add(channel)
            relay = channel
        }
        let server = SocketAddress(host: .ipv4([127, 0, 0, 1]), port: hub.socket?.local.port ?? 0)
        try peerLoop.on { [self] in
            peer?.stop()
            let sealed = SealedDatagrams(
                secret, protection, sending: .toRelay, channel: number, at: peerLoop.now)
            peer = try PeerDatagrams(
                on: peerLoop, to: server, session: session, key: Self.key, sealed, frames: targets, changed: { _ in })
        }
        try eventually("datagrams come through") { try peerLoop.on { self.peer?.isStanding == true } }
    }

    /// The mapping's public ports lead to as many of the target from this one on.
    func expose(
        _ target: UInt16, on host: SocketAddress.Host = .ipv4([127, 0, 0, 1]), count: Int = 1,
        filter: NetworkFilter = NetworkFilter()
    ) throws -> [UInt16] {
        let address = SocketAddress(host: host, port: target)
        try peerLoop.on { [self] in routes[claim.mapping] = Route(addresses: [address], count: count, protocols: .udp) }
        return try relayLoop.on { [self] in
            let session = try #require(relay).session
            let sockets = try (0..<count).map { offset in
                (
                    offset: UInt16(offset),
                    socket: try DatagramSocket.bound(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
                )
            }
            ports.listen(claim, sockets, isAll: true, for: session, filter)
            return sockets.map(\.socket.local.port)
        }
    }

    /// The mapping's route is another one from now on.
    func change(_ body: @escaping (inout Route) -> Void) throws {
        try peerLoop.on { [self] in
            var route = try #require(routes[claim.mapping])
            body(&route)
            routes[claim.mapping] = route
            targets.tellOtherwise(of: claim.mapping)
        }
    }

    deinit {
        for loop in [relayLoop, peerLoop, world] { loop.stop() }
    }
}
