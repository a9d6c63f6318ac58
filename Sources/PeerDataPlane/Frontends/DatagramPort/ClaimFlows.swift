internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The visitors of one mapping's public ports for datagrams, and which of them the peer knows. Belongs to the lane's
/// loop.
///
/// ```
/// a flow's number: handle of the mapping (24 bits) | the flow's place and generation (40 bits)
/// ```
final class ClaimFlows {
    static let handleMask: UInt32 = 1 << 24 - 1
    private static let flowBits = UInt64(2 * FlowTable.ID.bits)

    /// What is known of the flow in a place.
    private struct Flow {
        /// The address of this machine that the visitor spoke to.
        var local: DatagramAddress
        let source: UInt64
        /// The peer has said that it knows it.
        var isKnown = false
        /// Of somebody whom the filter keeps out, from the address of the peer's own session: it may be the peer that
        /// checks its mapping, and gets nothing else.
        var isCheckOnly = false
        /// Its place within the membership's limits.
        var slot: VisitorQuota.Slot?
    }

    let claim: Claim
    let handle: UInt32
    private(set) var session: SessionID?
    private var channel: RelayDatagrams?
    /// Where the peer's session comes from.
    var source: HostAddress?
    /// What the membership allows its visitors; `nil`: it is limited in nothing.
    var quota: VisitorQuota?
    private let relayFilter: NetworkFilter
    private var filter = NetworkFilter()
    private var ports: [UInt16: DatagramPort] = [:]
    private var table: FlowTable
    private var rates: FlowQuota
    private var flows: [Flow] = []
    private var counted = DatagramTraffic()

    /// - Parameters:
    ///   - handle: what stands for it in the numbers of flows.
    ///   - policy: whom the relay lets in, and what it allows them.
    init(of claim: Claim, handle: UInt32, _ policy: VisitorPolicy, at now: Instant) {
        self.claim = claim
        self.handle = handle
        relayFilter = policy.filter
        table = FlowTable(policy.datagrams.table)
        rates = FlowQuota(policy.datagrams, at: now)
    }

    static func handle(of number: DatagramFrame.Flow) -> UInt32 { UInt32(truncatingIfNeeded: number >> flowBits) }

    private func number(of id: FlowTable.ID) -> DatagramFrame.Flow { UInt64(handle) << Self.flowBits | id.number }

    /// What was counted up to now.
    var traffic: DatagramTraffic {
        var traffic = counted
        traffic.flows = table.count
        traffic.opened = table.counts.opened
        traffic.displaced = table.counts.displaced
        traffic.takesStream = channel?.takesStream == true
        return traffic
    }

    // MARK: Ports

    /// Another session has the ports, or another filter holds.
    func begin(for session: SessionID, _ filter: NetworkFilter, by channel: RelayDatagrams?) {
        if filter != self.filter {
            for id in table.endAll() { release(id.place) }
        }
        self.filter = filter
        self.session = session
        use(channel)
    }

    /// What a peer knew by another session it does not know by this one.
    func use(_ channel: RelayDatagrams?) {
        guard channel !== self.channel else { return }
        self.channel = channel
        for place in flows.indices { flows[place].isKnown = false }
    }

    func listen(_ sockets: [(offset: UInt16, socket: DatagramSocket)], isAll: Bool, on loop: EventLoop) {
        if isAll { pause(nil) }
        for (offset, socket) in sockets {
            let port = DatagramPort(socket, offset, of: self, on: loop)
            ports[offset] = port
            try? socket.start(on: loop, port)
        }
    }

    func pause(_ only: Set<UInt16>?) {
        for offset in only ?? Set(ports.keys) { ports.removeValue(forKey: offset)?.socket.stop() }
    }

    // MARK: Datagrams

    /// A visitor's datagram came to a port.
    func visited(
        _ port: DatagramPort, _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress,
        to local: DatagramAddress, at now: Instant
    ) {
        let visitor = FlowVisitor(source, at: port.offset)
        let id: FlowTable.ID
        var isCheckOnly = false
        var slot: VisitorQuota.Slot?
        let arrival = table.spoke(visitor, at: now) {
            guard isAdmitted(source) else {
                isCheckOnly = isCheck(bytes, from: source)
                return isCheckOnly
            }
            guard rates.mayOpen(source.source, at: now) else { return false }
            guard let quota else { return true }
            slot = quota.admit(at: now)
            return slot != nil
        }
        switch arrival {
        case .known(let known):
            id = known
            if flows[Int(id.place)].isCheckOnly, !isCheck(bytes, from: source) {
                counted.refused += 1
                return
            }
        case .opened(let new, let displaced):
            id = new
            if let displaced {
                channel?.end(number(of: displaced))
                release(displaced.place)
            }
            rates.opened(source.source, at: now)
            let flow = Flow(local: local, source: source.source, isCheckOnly: isCheckOnly, slot: slot)
            if Int(new.place) < flows.count { flows[Int(new.place)] = flow } else { flows.append(flow) }
        case .crowded, .refused:
            counted.refused += 1
            return
        }
        guard isAllowed(bytes.count, of: source.source, true, at: now) else { return }
        counted.fromVisitors += 1
        counted.bytesFromVisitors += UInt64(bytes.count)
        let opening: DatagramFrame.Opening? =
            flows[Int(id.place)].isKnown
            ? nil : .init(mapping: claim.mapping, portOffset: port.offset, visitor: source)
        counted.count(channel?.send(UnsafeRawBufferPointer(bytes), of: number(of: id), opening) ?? .lost)
    }

    private func isAdmitted(_ source: DatagramAddress) -> Bool {
        guard !filter.isForEverybody || !relayFilter.isForEverybody else { return true }
        return filter.admits(source.host, and: relayFilter)
    }

    /// Whether the rates of the mapping, the source and the membership have room for a datagram of so many bytes now;
    /// what is too much is dropped.
    private func isAllowed(_ count: Int, of source: UInt64, _ isFromVisitor: Bool, at now: Instant) -> Bool {
        if rates.take(count, of: source, isFromVisitor: isFromVisitor, at: now),
            quota?.takeDatagram(count, isFromVisitor, at: now) != false
        {
            return true
        }
        counted.limited += 1
        return false
    }

    /// What the flow in a place had is free for others.
    private func release(_ place: UInt32) {
        flows[Int(place)].slot = nil
        rates.ended(flows[Int(place)].source)
    }

    private func isCheck(_ bytes: UnsafeMutableRawBufferPointer, from visitor: DatagramAddress) -> Bool {
        source == visitor.host && ReachabilityCheck.nonce(ofDatagram: UnsafeRawBufferPointer(bytes)) != nil
    }

    /// The service's answer goes to the flow's visitor, from the address that it spoke to.
    func answered(_ flow: DatagramFrame.Flow, _ bytes: UnsafeRawBufferPointer, _ room: DatagramRoom, at now: Instant) {
        let id = FlowTable.ID(number: flow)
        guard let visitor = table.answered(id, at: now), let port = ports[visitor.offset] else { return }
        flows[Int(id.place)].isKnown = true
        guard isAllowed(bytes.count, of: visitor.source, false, at: now) else { return }
        counted.toVisitors += 1
        counted.bytesToVisitors += UInt64(bytes.count)
        guard let place = room.room(for: port.socket, bytes.count) else { return }
        if let base = bytes.baseAddress { place.copyMemory(from: base, byteCount: bytes.count) }
        room.push(bytes.count, to: visitor.address, from: flows[Int(id.place)].local)
    }

    func told(_ flow: DatagramFrame.Flow, isKnown: Bool) {
        let id = FlowTable.ID(number: flow)
        guard table.visitor(of: id) != nil else { return }
        flows[Int(id.place)].isKnown = isKnown
    }

    func ended(_ flow: DatagramFrame.Flow) {
        let id = FlowTable.ID(number: flow)
        guard table.visitor(of: id) != nil else { return }
        table.end(id)
        release(id.place)
    }

    func expire(at now: Instant) {
        for id in table.expire(at: now) { release(id.place) }
    }
}

/// One public port for datagrams.
final class DatagramPort: DatagramReceiver {
    let socket: DatagramSocket
    /// By how many it is after the mapping's first port.
    let offset: UInt16
    private let loop: EventLoop
    private weak var flows: ClaimFlows?

    init(_ socket: DatagramSocket, _ offset: UInt16, of flows: ClaimFlows, on loop: EventLoop) {
        self.socket = socket
        self.offset = offset
        self.flows = flows
        self.loop = loop
    }

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) { flows?.visited(self, bytes, from: source, to: local, at: loop.now) }
}
