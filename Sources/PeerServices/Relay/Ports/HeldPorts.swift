internal import Logging
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerWire

/// The public ports of mappings: held from the first agreement to the end of the lease, accepting while their session
/// and target are there. Belongs to the control loop.
final class HeldPorts {
    /// A round trip is seldom shorter.
    private static let handshakesInterval = Instant.Span.milliseconds(5)

    private let loop: EventLoop
    private let lanes: RelayLanes
    private let host: SocketAddress.Host?
    private let reserve: ReserveGate
    private let log: Logger
    private var ports: [Claim: [Listener]] = [:]
    private var datagramPorts: [Claim: [DatagramSocket]] = [:]
    /// Ports that close gently, and until when at the latest.
    private var closing: [Claim: Instant] = [:]
    private var closingTimer: LoopTimer?

    /// - Parameters:
    ///   - host: where ports are bound; `nil`: on all addresses.
    ///   - reserve: says whether there are descriptors for one more.
    init(on loop: EventLoop, _ lanes: RelayLanes, at host: SocketAddress.Host?, reserve: ReserveGate, log: Logger) {
        self.loop = loop
        self.lanes = lanes
        self.host = host
        self.reserve = reserve
        self.log = log
    }

    /// Whether ports are held for any mapping of that key.
    func has(_ key: NodeKey) -> Bool {
        ports.keys.contains { $0.key == key } || datagramPorts.keys.contains { $0.key == key }
    }

    /// Binds all ports of a range, or none of them. Nobody can connect yet, and who sends a datagram is told so.
    func hold(_ claim: Claim, _ range: PortRange, _ protocols: TransportProtocols) -> RelayCore.Event {
        var held: [Listener] = []
        var sockets: [DatagramSocket] = []
        for port in range.ports {
            do throws(SystemError) {
                if protocols.contains(.tcp) {
                    let listener = try Listener.hold(port: port, on: host, .atTheEdge)
                    try admit(listener.openDescriptors)
                    held.append(listener)
                }
                if protocols.contains(.udp) {
                    let socket = try DatagramSocket.bound(port: port, on: host, .atTheEdge)
                    socket.refuse()
                    try admit(socket.openDescriptors)
                    sockets.append(socket)
                }
            } catch {
                if error.isOutOfDescriptors { return .portsShort(claim) }
                if !error.isAddressInUse { log.warning("port \(port): \(error)") }
                return .portsBusy(claim, range, taken: error.isAddressInUse ? port : nil)
            }
        }
        ports[claim] = protocols.contains(.tcp) ? held : nil
        datagramPorts[claim] = protocols.contains(.udp) ? sockets : nil
        return .portsHeld(claim, range)
    }

    private func admit(_ openDescriptors: Int) throws(SystemError) {
        let load = ReserveGate.Load(descriptors: openDescriptors, buffered: 0)
        guard reserve.admits(.port, at: load) else { throw .outOfDescriptors }
    }

    /// - Parameter only: these ports alone, by how many they are after the first one.
    func listen(_ claim: Claim, for id: SessionID, _ filter: NetworkFilter, _ only: Set<UInt16>?) {
        closing[claim] = nil
        // Here and now, so that the ports accept before the peer is told that they do.
        let loop = lanes.loop(of: claim.key)
        let opened = chosen(claim, only).map { (offset: $0.offset, listener: LoopBound($0.listener, on: loop)) }
        for (_, listener) in chosen(claim, only) {
            do throws(SystemError) { try listener.listen() } catch {
                log.error("port \(listener.address.port): \(error)")
            }
        }
        let others = lanes.dealers(of: claim.key)
        let sockets = chosenSockets(claim, only)
        for (_, socket) in sockets {
            do throws(SystemError) { try socket.admit() } catch { log.error("UDP port \(socket.local.port): \(error)") }
        }
        let received = sockets.map { (offset: $0.offset, socket: LoopBound($0.socket, on: loop)) }
        lanes.onFirst(of: claim.key) { lane in
            if !opened.isEmpty {
                lane.ports.listen(
                    claim, opened.map { ($0.offset, $0.listener.value) }, isAll: only == nil, for: id, filter,
                    others: others)
            }
            if !received.isEmpty {
                lane.datagrams.listen(
                    claim, received.map { ($0.offset, $0.socket.value) }, isAll: only == nil, for: id, filter)
            }
        }
    }

    private func chosenSockets(
        _ claim: Claim, _ only: Set<UInt16>?
    ) -> [(offset: UInt16, socket: DatagramSocket)] {
        (datagramPorts[claim] ?? []).enumerated().compactMap { offset, socket in
            only?.contains(UInt16(offset)) == false ? nil : (UInt16(offset), socket)
        }
    }

    private func chosen(_ claim: Claim, _ only: Set<UInt16>?) -> [(offset: UInt16, listener: Listener)] {
        (ports[claim] ?? []).enumerated().compactMap { offset, listener in
            only?.contains(UInt16(offset)) == false ? nil : (UInt16(offset), listener)
        }
    }

    /// Has the ports refuse as soon as nobody is in the middle of TCP's handshake there. That is at once, or after a
    /// round trip of such a visitor. A visitor that comes meanwhile gets no answer, and is refused when it repeats its
    /// SYN.
    func pauseGently(_ claim: Claim) {
        for listener in ports[claim] ?? [] where !listener.ignoreNewcomers() { return pause(claim) }
        closing[claim] = loop.clock() + Listener.longestHandshake
        // All that is said at once is looked at together.
        if closingTimer == nil { lookForHandshakes(after: .zero) }
    }

    private func lookForHandshakes(after span: Instant.Span) {
        closingTimer = loop.schedule(after: span) { [weak self] in
            guard let self else { return }
            closingTimer = nil
            guard !closing.isEmpty else { return }
            let now = loop.clock()
            let busy = HandshakingPorts()
            for (claim, deadline) in closing {
                let isBusy = ports[claim]?.contains { busy?.contains($0.address.port) ?? true } ?? false
                if now >= deadline || !isBusy { pause(claim) }
            }
            if !closing.isEmpty { lookForHandshakes(after: Self.handshakesInterval) }
        }
    }

    /// Has ports refuse at once; they stay bound.
    func pause(_ claim: Claim, _ only: Set<UInt16>? = nil) {
        if only == nil { closing[claim] = nil }
        let loop = lanes.loop(of: claim.key)
        let late = chosen(claim, only).map { (LoopBound($0.listener, on: loop), $0.listener.pause()) }
        for (_, socket) in chosenSockets(claim, only) { socket.refuse() }
        lanes.onFirst(of: claim.key) { lane in
            for (listener, late) in late { listener.value.admit(late) }
            lane.ports.pause(claim, only)
            lane.datagrams.pause(claim, only)
        }
    }

    /// Ports of that key that close gently refuse at once: without a session nobody serves those who come in.
    func sessionEnded(of key: NodeKey) {
        for claim in closing.keys where claim.key == key { pause(claim) }
    }

    /// Another key has the ports from now on.
    func rename(_ former: Claim, to claim: Claim) {
        if closing[former] != nil { pause(former) }
        ports[claim] = ports.removeValue(forKey: former)
        datagramPorts[claim] = datagramPorts.removeValue(forKey: former)
        lanes.onFirst(of: former.key) { $0.datagrams.forget(former) }
    }

    /// Gives ports back to the system. Visitors on them are reset.
    func free(_ claim: Claim) {
        let listeners = ports.removeValue(forKey: claim) ?? []
        let sockets = datagramPorts.removeValue(forKey: claim) ?? []
        guard !listeners.isEmpty || !sockets.isEmpty else { return }
        closing[claim] = nil
        for listener in listeners { listener.pause() }
        for socket in sockets { socket.refuse() }
        // The lane lets go of them on its own thread; with that they are closed.
        let parcel = Parcel(listeners, sockets)
        let letGo: @Sendable (RelayLane) -> Void = { lane in
            lane.ports.pause(claim)
            lane.datagrams.forget(claim)
            parcel.release()
        }
        lanes.on(claim.key, first: letGo) { $0.abortVisitors(of: claim) }
    }

    /// All ports refuse, and stay bound.
    func refuseAll() {
        for listeners in ports.values { for listener in listeners { listener.pause() } }
        for sockets in datagramPorts.values { for socket in sockets { socket.refuse() } }
    }

    func freeAll() {
        for claim in Set(ports.keys).union(datagramPorts.keys) { free(claim) }
    }

    /// Holds what a lane is not done with yet.
    private final class Parcel: @unchecked Sendable {
        // Unchecked: handed from the control loop to one lane and touched by nobody else in between.
        private var listeners: [Listener]
        private var sockets: [DatagramSocket]

        init(_ listeners: [Listener], _ sockets: [DatagramSocket]) {
            self.listeners = listeners
            self.sockets = sockets
        }

        func release() {
            listeners = []
            sockets = []
        }
    }
}
