import Foundation
import Logging
import PeerCore
import PeerDataPlane
import PeerReactor
import PeerServices
import PeerStorage
import PeerWire
import Synchronization
import Testing

/// A relay and its peers in one process: the shells that ship, over loopback, in time that the test owns.
final class ShellBench {
    static let meshKey = MeshKey(bytes: [UInt8](repeating: 7, count: MeshKey.byteCount))!
    static let otherMeshKey = MeshKey(bytes: [UInt8](repeating: 8, count: MeshKey.byteCount))!
    private static let loopback = SocketAddress.Host.ipv4([127, 0, 0, 1])

    /// How the nodes reach each other.
    enum Carrying {
        /// Each is told who the other one is.
        case scripted
        /// As on any network.
        case encrypted
    }

    let time = OwnedTime()
    let network = ScriptedNetwork()
    private let carrying: Carrying
    private let folder = NSTemporaryDirectory() + "p2prc-shells-\(UInt64.random(in: 0 ... .max))"
    private var homes = 0
    /// They live as long as the bench, also where a test looks at one of them alone.
    private var nodes: [AnyObject] = []

    init(_ carrying: Carrying = .scripted) throws {
        self.carrying = carrying
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func carriers(_ keys: KeyRing) -> Carriers {
        switch carrying {
        case .scripted: Carriers([ScriptedCarrier(network, keys), PlainCarrier()])
        case .encrypted: .encrypted(keys)
        }
    }

    deinit {
        time.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    private static func ring(seed number: UInt8, _ meshKeys: [MeshKey]) throws -> KeyRing {
        let seed = Self.seed(number)
        return try KeyRing(NodeIdentity(seed: seed)!, seed: seed, history: KeyHistory(), meshKeys: meshKeys)
    }

    static func seed(_ number: UInt8) -> [UInt8] { [UInt8](repeating: number, count: NodeIdentity.seedByteCount) }

    /// Who may be dialled on others' word: everybody on this machine.
    private static var judge: DialGuard {
        DialGuard(widened: [Network(of: HostAddress(bytes: [127, 0, 0, 0])!, prefixLength: 8)])
    }

    /// A process with a node's key, the later ones with greater numbers.
    static func process(_ number: UInt64) -> ProcessStart {
        ProcessStart(number: number, instance: ProcessInstance(bytes: [UInt8](repeating: UInt8(number), count: 16))!)
    }

    // MARK: Relays

    final class Relay {
        let keys: KeyRing
        let store: MemoryStore
        let port: UInt16
        let log = LogLines()
        private let parts: OnLoop<Parts>
        private let time: OwnedTime
        private let loop: EventLoop
        private let lanes: [EventLoop]

        private final class Parts {
            let server: NodeServer
            var service: RelayService?

            let host = RelayNode()

            init(_ server: NodeServer, _ service: RelayService) {
                self.server = server
                self.service = service
            }
        }

        private final class Answer: Sendable {
            let value = Mutex<[TrafficCounters]>([])
        }

        private let host: UInt8
        var endpoint: Endpoint { Endpoint(host: "127.0.0.\(host)", port: port) }

        fileprivate init(
            _ time: OwnedTime, on loop: EventLoop, lanes: [EventLoop], keys: KeyRing, _ carriers: Carriers,
            at host: UInt8, port wanted: UInt16, store: MemoryStore,
            _ change: (inout RelayService.Setup) -> Void
        ) throws {
            self.time = time
            self.loop = loop
            self.lanes = lanes
            self.store = store
            self.host = host
            let address = SocketAddress.Host.ipv4([127, 0, 0, host])
            self.keys = keys
            var setup = RelayService.Setup(
                name: "relay", software: "test", policy: .init(ports: PortRange(first: 20_000, last: 29_999)!),
                visitorPolicy: .init(
                    filter: .everybody,
                    reserve: .init(
                        descriptors: .init(limit: 10_000, reserve: 100), buffers: .init(limit: 1 << 30, reserve: 0))))
            setup.bindHost = address
            change(&setup)
            parts = try OnLoop(on: loop) { [keys, setup, log] in
                let server = NodeServer(on: loop, carriers: carriers)
                let service = RelayService(
                    on: loop, lanes: lanes, keys: keys, setup: setup, store: store, dialJudge: judge, log: log.logger)
                return Parts(server, service)
            }
            port = try parts.run { parts in
                let listener = try Listener.hold(port: wanted, on: address, .betweenNodes)
                parts.service?.start(for: parts.host, at: parts.server, leases: store.leases)
                try parts.server.listen(listener)
                return listener.address.port
            }
        }

        func run<Result>(_ body: @escaping (RelayService) throws -> Result) throws -> Result {
            try parts.run { parts in try body(#require(parts.service, "the relay was stopped")) }
        }

        /// Counters come from the lanes.
        var traffic: [TrafficCounters] {
            get throws {
                let (answer, done) = (Answer(), DispatchSemaphore(value: 0))
                try run { service in
                    service.report { carried in
                        answer.value.withLock { $0 = carried.map(\.traffic) }
                        done.signal()
                    }
                }
                try #require(done.wait(timeout: .now() + 30) == .success)
                return answer.value.withLock { $0 }
            }
        }

        /// What the node around the relay answers.
        func host<Result>(_ body: @escaping (RelayNode) throws -> Result) throws -> Result {
            try parts.run { try body($0.host) }
        }

        var carried: [CarriedMapping] { get throws { try run { $0.mappings() } } }
        var sessions: Int { get throws { try run { $0.sessionCount } } }

        /// As the process ends: peers hear of it, its ports are free.
        func stop() throws {
            try parts.run { parts in
                parts.service?.stop()
                parts.service?.close()
                parts.server.stop()
                parts.service = nil
            }
        }

        /// The machine hangs: nothing is read or answered until `body` is over.
        func whileSilent<Result>(_ body: () throws -> Result) throws -> Result {
            try time.whileHanging(loop, body)
        }
    }

    /// - Parameters:
    ///   - host: the last number of its address: 127.0.0.1, 127.0.0.2 and so on.
    ///   - lanes: loops for visitors, beside the control loop; 0: that does it all.
    func relay(
        seed: UInt8 = 1, meshKeys: [MeshKey] = [ShellBench.meshKey], at host: UInt8 = 1, port: UInt16 = 0,
        store: MemoryStore = MemoryStore(), lanes: Int = 0, _ change: (inout RelayService.Setup) -> Void = { _ in }
    ) throws -> Relay {
        let control = try time.loop()
        let lanes = try lanes == 0 ? [control] : (0..<lanes).map { _ in try time.loop() }
        let keys = try Self.ring(seed: seed, meshKeys)
        let relay = try Relay(
            time, on: control, lanes: lanes, keys: keys, carriers(keys), at: host, port: port, store: store, change)
        network.add(keys, at: SocketAddress(host: .ipv4([127, 0, 0, host]), port: relay.port))
        nodes.append(relay)
        return relay
    }

    // MARK: Peers

    final class Peer {
        let keys: KeyRing
        let log = LogLines()
        private let parts: OnLoop<(server: NodeServer, service: PeerService, host: PeerNode)>
        private let time: OwnedTime
        private let loop: EventLoop

        fileprivate init(
            _ time: OwnedTime, on loop: EventLoop, seed: UInt8, keys: KeyRing, _ carriers: Carriers, home: String,
            _ change: (inout PeerService.Setup) -> Void
        ) throws {
            self.time = time
            self.loop = loop
            self.keys = keys
            let home = try Home.open(at: home)
            let writer = TableWriter(try IPTable.open(in: home, now: loop.wall()).table, log: log.logger)
            let receipts = ReceiptWriter(try ReceiptFolder.open(in: home), log: log.logger)
            let listener = try OnLoop(on: loop) { try Listener.hold(port: 0, on: loopback, .betweenNodes) }
            let port = try listener.run { $0.address.port }
            var setup = PeerService.Setup(name: "peer \(seed)", software: "test", process: process(1), serverPort: port)
            setup.bindHost = loopback
            change(&setup)
            parts = try OnLoop(on: loop) { [keys, setup, log] in
                let server = NodeServer(on: loop, carriers: carriers)
                let service = PeerService(
                    on: loop, lanes: [loop], keys: keys, setup: setup,
                    parts: .init(
                        server: server, carriers: carriers, writer: writer, receipts: receipts, judge: judge,
                        log: log.logger))
                let host = PeerNode()
                service.start(for: host)
                return (server, service, host)
            }
        }

        @discardableResult
        func run<Result>(_ body: @escaping (PeerService) throws -> Result) throws -> Result {
            try parts.run { try body($0.service) }
        }

        /// What the node around the peer answers, and was told.
        @discardableResult
        func host<Result>(_ body: @escaping (PeerNode) throws -> Result) throws -> Result {
            try parts.run { try body($0.host) }
        }

        /// Exposes a service of this machine, by a number that is the test's own.
        @discardableResult
        func expose(_ number: UInt64, port: UInt16, _ ports: PortWish = .any(count: 1)) throws -> MappingID {
            let id = MappingID(value: number)
            let target = MappingWish.Target.service(host: "127.0.0.1", port: port)
            try run { $0.add(MappingWish(id: id, target: target, protocols: .tcp, ports: ports), isTemporary: true) }
            return id
        }

        /// The machine hangs: nothing is read or answered until `body` is over.
        func whileSilent<Result>(_ body: () throws -> Result) throws -> Result { try time.whileHanging(loop, body) }

        func mapping(_ id: MappingID) throws -> ExposedMapping? { try run { $0.mappings() }.first { $0.wish.id == id } }

        /// Exposes a service of this machine, with whatever else is to be said of it.
        @discardableResult
        func expose(
            _ number: UInt64, port: UInt16, _ ports: PortWish = .any(count: 1), _ change: (inout MappingWish) -> Void
        ) throws -> MappingID {
            var wish = MappingWish(
                id: MappingID(value: number), target: .service(host: "127.0.0.1", port: port), protocols: .tcp,
                ports: ports)
            change(&wish)
            let settled = wish
            try run { $0.add(settled, isTemporary: true) }
            return settled.id
        }

        /// What a mapping is at each relay, in the order of the listings.
        func mappings(_ id: MappingID) throws -> [ExposedMapping] {
            try run { $0.mappings() }.filter { $0.wish.id == id }
        }

        /// The public ports of a mapping at those relays where it is verified.
        func verifiedPorts(_ id: MappingID) throws -> [UInt16] {
            try mappings(id).filter { $0.state == .verified }.compactMap(\.ports?.first)
        }

        /// The public port of a mapping that is verified.
        func verified(_ id: MappingID) throws -> UInt16? {
            guard let mapping = try mapping(id), mapping.state == .verified else { return nil }
            return mapping.ports?.first
        }

        /// Goes to a relay with a token.
        func show(_ token: String, to relay: Relay) throws {
            try run { service in
                service.change(relay.endpoint) { _ = $0.join(withToken: token, at: relay.endpoint.description) }
                service.join(relay.endpoint)
            }
        }

        func standing(at relay: Relay) throws -> RelayStanding? {
            try run { $0.relayStandings }.first { $0.endpoint == relay.endpoint }
        }
    }

    /// - Parameter relays: that it uses from the start.
    func peer(
        seed: UInt8 = 2, meshKeys: [MeshKey] = [ShellBench.meshKey], at relays: [Relay],
        _ change: (inout PeerService.Setup) -> Void = { _ in }
    ) throws -> Peer {
        homes += 1
        let keys = try Self.ring(seed: seed, meshKeys)
        let peer = try Peer(
            time, on: time.loop(), seed: seed, keys: keys, carriers(keys), home: "\(folder)/\(homes)", change)
        nodes.append(peer)
        for relay in relays { _ = try peer.run { $0.join(relay.endpoint) } }
        return peer
    }

    /// A relay that takes nobody but the holder of a token, and that peer.
    ///
    /// - Parameter change: what the token allows.
    func holder(_ change: (inout Grant) -> Void) throws -> (relay: Relay, peer: Peer) {
        let token = "a.b.c"
        let relay = try relay(meshKeys: [Self.otherMeshKey])
        var grant = Grant(membership: .token(id: "one"))
        change(&grant)
        let settled = grant
        try relay.host { $0.grants[token] = settled }
        let peer = try peer(at: [])
        try peer.show(token, to: relay)
        return (relay, peer)
    }

    /// Waits until a mapping is verified, and says at which port.
    func port(of id: MappingID, at peer: Peer, _ location: SourceLocation = #_sourceLocation) throws -> UInt16 {
        var port: UInt16?
        try time.eventually("verified", location) {
            port = try peer.verified(id)
            return port != nil
        }
        return try #require(port)
    }
}
