import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("Who is let into a relay", .timeLimit(.minutes(1)))
final class AdmissionTests {
    /// A relay that lets peers in and says nothing more to them.
    private final class Host: AdmissionHost {
        var grants: [String: Grant] = [:]
        /// Tokens are judged when the test says so.
        var isSlow = false
        var judged: [String] = []
        var waiting: [() -> Void] = []
        var admitted: [(session: RelaySession, name: String, grant: Grant)] = []
        var dropped: [(reason: CloseReason, detail: String)] = []

        func judge(_ token: String, of session: RelaySession, _ answer: @escaping (Grant?, String) -> Void) {
            judged.append(token)
            let grant = grants[token]
            let verdict = { answer(grant, grant == nil ? "nobody knows it" : "") }
            if isSlow { waiting.append(verdict) } else { verdict() }
        }

        func admitted(
            _ session: RelaySession, _ introduction: PeerMessage.Introduction, _ grant: Grant, formerly: [NodeKey]
        ) { admitted.append((session, introduction.name, grant)) }

        func drop(_ session: RelaySession, _ reason: CloseReason, _ detail: String) {
            guard session.phase != .over else { return }
            session.phase = .over
            dropped.append((reason, detail))
            session.close(reason, detail)
        }

        func renewed(_ session: RelaySession, _ grant: Grant) {}
    }

    /// What a relay has in front of its sessions.
    private final class Entrance: SessionAcceptor {
        let host = Host()
        let admission: Admission
        let server: NodeServer

        init(on loop: EventLoop, _ keys: KeyRing, isOpen: Bool, allowsPlain: Bool) {
            admission = Admission(on: loop, keys: keys, isOpen: isOpen, allowsPlain: allowsPlain)
            server = NodeServer(on: loop, carriers: .encrypted(keys))
            admission.host = host
            server.relay = self
        }

        func join(_ stream: consuming Stream, _ group: ChannelGroup) -> Bool { false }
        func join(_ channel: ByteChannel, _ hello: DataChannelHello) -> Bool { false }

        func open(_ arrival: NodeServer.Arrival) {
            let session = admission.open(arrival)
            session.channel.start { [weak self, session] event in
                if case .received(let bytes) = event { self?.received(bytes, session) }
            }
            received(arrival.rest, session)
        }

        private func received(_ bytes: [UInt8], _ session: RelaySession) {
            session.decoder.append(bytes)
            while session.phase == .handshake, let frame = try? session.decoder.next() {
                admission.received(frame, session)
            }
        }
    }

    private let bench: ShellBench

    init() throws { bench = try ShellBench(.encrypted) }

    private func entrance(
        meshKeys: [MeshKey] = [ShellBench.meshKey], isOpen: Bool = false, allowsPlain: Bool = false
    ) throws -> (at: Endpoint, keys: KeyRing, OnLoop<Entrance>) {
        let (loop, seed) = (try bench.time.loop(), ShellBench.seed(1))
        let keys = try KeyRing(NodeIdentity(seed: seed)!, seed: seed, history: KeyHistory(), meshKeys: meshKeys)
        let made = try OnLoop(on: loop) { Entrance(on: loop, keys, isOpen: isOpen, allowsPlain: allowsPlain) }
        let port = try made.run { entrance in
            let listener = try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .betweenNodes)
            try entrance.server.listen(listener)
            return listener.address.port
        }
        return (Endpoint(host: "127.0.0.1", port: port), keys, made)
    }

    private func holder(of token: String, at endpoint: Endpoint) throws -> ShellBench.Peer {
        let peer = try bench.peer(meshKeys: [ShellBench.otherMeshKey], at: [])
        try peer.run { service in
            service.change(endpoint) { _ = $0.join(withToken: token, at: endpoint.description) }
            service.join(endpoint)
        }
        return peer
    }

    private func member(_ keys: [MeshKey] = [ShellBench.meshKey], at endpoint: Endpoint) throws -> ShellBench.Peer {
        let peer = try bench.peer(meshKeys: keys, at: [])
        try peer.run { _ = $0.join(endpoint) }
        return peer
    }

    private func admitted(_ made: OnLoop<Entrance>, _ location: SourceLocation = #_sourceLocation) throws -> Grant {
        try bench.time.eventually("admitted", location) { try made.run { !$0.host.admitted.isEmpty } }
        return try made.run { $0.host.admitted[0].grant }
    }

    private func dropped(
        _ made: OnLoop<Entrance>, _ location: SourceLocation = #_sourceLocation
    ) throws -> (reason: CloseReason, detail: String) {
        try bench.time.eventually("dropped", location) { try made.run { !$0.host.dropped.isEmpty } }
        #expect(try made.run { $0.host.admitted.isEmpty })
        return try made.run { $0.host.dropped[0] }
    }

    @Test("is a member by the mesh key, on the account of the network that it comes from")
    func byMeshKey() throws {
        let (endpoint, _, made) = try entrance()
        let peer = try member(at: endpoint)
        #expect(try admitted(made).membership == .mesh(network: "127.0.0.0/24"))
        let session = try made.run { $0.host.admitted[0].session }
        #expect(try made.run { _ in session.key } == peer.keys.key)
        #expect(try made.run { $0.host.admitted[0].name } == "peer 2")
        #expect(try made.run { $0.admission.inHandshake.isEmpty && session.phase == .admitted })
    }

    @Test("is nobody with another mesh key")
    func stranger() throws {
        let (endpoint, _, made) = try entrance()
        let peer = try member([ShellBench.otherMeshKey], at: endpoint)
        #expect(try dropped(made).reason == .notAMember)
        _ = peer
    }

    @Test("is whoever accepts that the relay is open")
    func open() throws {
        let (endpoint, _, made) = try entrance(meshKeys: [], isOpen: true)
        let peer = try bench.peer(at: [])
        try peer.run { service in
            service.change(endpoint) { _ = $0.acceptOpen(at: endpoint.description) }
            service.join(endpoint)
        }
        #expect(try admitted(made).membership == .openRelay(network: "127.0.0.0/24"))
    }

    @Test("is the holder of a token, with what that allows")
    func byToken() throws {
        let (endpoint, _, made) = try entrance()
        var grant = Grant(membership: .token(id: "box"))
        grant.limits.connections = 7
        try made.run { [grant] in $0.host.grants["a.b.c"] = grant }
        let peer = try holder(of: "a.b.c", at: endpoint)
        #expect(try admitted(made) == grant)
        #expect(try made.run { $0.host.judged } == ["a.b.c"])
        _ = peer
    }

    @Test("is not the holder of one that is rejected, and the reason is said")
    func rejected() throws {
        let (endpoint, _, made) = try entrance()
        let peer = try holder(of: "a.b.c", at: endpoint)
        #expect(try dropped(made).detail.contains("nobody knows it"))
        try bench.time.eventually("told") {
            try peer.run { $0.relayStandings.first?.reason?.contains("nobody knows it") } == true
        }
    }

    @Test("is not the holder of a token that ends while it is judged; one that ended long ago is judged anew")
    func ended() throws {
        let (endpoint, _, made) = try entrance()
        let grant = Grant(membership: .token(id: "box"))
        try made.run { entrance in
            entrance.host.grants["a.b.c"] = grant
            entrance.host.isSlow = true
        }
        let peer = try holder(of: "a.b.c", at: endpoint)
        try bench.time.eventually("shown") { try made.run { !$0.host.waiting.isEmpty } }
        try made.run { entrance in
            let event = entrance.admission.tokenEnded("box")
            guard case .membershipEnded(.token(id: "box"), .revoked, _) = event else {
                Issue.record("\(event)")
                return
            }
            entrance.host.waiting.removeFirst()()
        }
        #expect(try dropped(made).reason == .revoked)
        // No handshake that began before lasts so long.
        try made.run { $0.host.isSlow = false }
        try bench.time.eventually("admitted", within: .seconds(60)) { try made.run { !$0.host.admitted.isEmpty } }
        _ = peer
    }

    @Test("is decided within five seconds, or it is over")
    func slow() throws {
        let (endpoint, _, made) = try entrance()
        try made.run { $0.host.isSlow = true }
        let peer = try holder(of: "a.b.c", at: endpoint)
        try bench.time.eventually("shown") { try made.run { !$0.host.waiting.isEmpty } }
        let began = bench.time.clock.now
        #expect(try made.run { $0.admission.inHandshake.count } == 1)
        try bench.time.eventually("dropped", within: .seconds(10)) { try made.run { !$0.host.dropped.isEmpty } }
        #expect(bench.time.clock.now - began <= SessionTiming.handshakeLimit)
        // Its verdict comes too late for anything.
        try made.run { $0.host.waiting.removeFirst()() }
        #expect(try made.run { $0.host.admitted.isEmpty })
        _ = peer
    }

    @Test("has data channels without encryption where both ends want that", arguments: [true, false])
    func plain(_ allows: Bool) throws {
        let (endpoint, _, made) = try entrance(allowsPlain: allows)
        let peer = try bench.peer(at: []) { $0.wantsPlain = true }
        try peer.run { _ = $0.join(endpoint) }
        _ = try admitted(made)
        #expect(try made.run { $0.host.admitted[0].session.isPlain } == allows)
    }

    @Test("changes with the mesh key: members are taught the next one, or have to go where the former one leaked")
    func meshKeys() throws {
        let (_, keys, made) = try entrance()
        func change(_ meshKeys: [MeshKey]) throws -> Admission.MeshKeyChange {
            _ = keys.change(meshKeys: meshKeys)
            return try made.run { $0.admission.meshKeysChanged() }
        }
        #expect(try change([ShellBench.meshKey]) == .none)
        #expect(try change([ShellBench.otherMeshKey, ShellBench.meshKey]) == .taught)
        #expect(try change([ShellBench.otherMeshKey]) == .none)
        #expect(try change([ShellBench.meshKey]) == .leaked)
    }

    @Test("by a former mesh key is let in for a while, and not once that is over")
    func formerKey() throws {
        let (endpoint, keys, made) = try entrance(meshKeys: [ShellBench.otherMeshKey, ShellBench.meshKey])
        let peer = try member(at: endpoint)
        _ = try admitted(made)
        let admission = try made.run { $0.host.admitted[0].session.admission }
        guard case .mesh(isFormer: true) = admission else {
            Issue.record("\(String(describing: admission))")
            return
        }
        try peer.run { $0.stop() }
        _ = keys.change(meshKeys: [ShellBench.otherMeshKey])
        let (dropped, admitted) = try made.run { entrance in
            _ = entrance.admission.meshKeysChanged()
            return (entrance.host.dropped.count, entrance.host.admitted.count)
        }
        let other = try member(at: endpoint)
        try bench.time.eventually("dropped") { try made.run { $0.host.dropped.count > dropped } }
        #expect(try made.run { $0.host.admitted.count } == admitted)
        _ = other
    }

    @Test("and is told no again and again, is told of in the log ever more rarely")
    func refusals() throws {
        let (endpoint, _, made) = try entrance()
        let peer = try member(at: endpoint)
        _ = try admitted(made)
        let noted = try made.run { entrance in
            let session = entrance.host.admitted[0].session
            return (0..<20).map { _ in entrance.admission.noteRefusal(of: session, "full") }
        }
        #expect(noted.first == 0)
        #expect(noted.compactMap { $0 }.count < 5)
        _ = peer
    }
}
