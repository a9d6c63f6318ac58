package import PeerCore
package import PeerReactor
package import PeerWire

/// The peer's way out for datagrams: each flow has a socket of its own towards the target, which so tells visitors
/// apart. Belongs to its lane's loop.
package final class DatagramTargets: RelayFrames {
    /// Whose a flow is, whatever session its datagrams come by.
    struct Name: Hashable {
        let relay: NodeKey
        let opening: DatagramFrame.Opening
    }

    /// Of a mapping's flows.
    final class Table {
        var flows: FlowTable
        var byPlace: [UInt32: TargetFlow] = [:]
        var traffic = DatagramTraffic()
        var strays = StrayWatch()

        init(_ limits: FlowTable.Limits) { flows = FlowTable(limits) }
    }

    private struct Number: Hashable {
        let session: SessionID
        let flow: DatagramFrame.Flow
    }

    private static let tick = Instant.Span.seconds(1)

    private let loop: EventLoop
    private let routes: RouteTable
    private let share: DescriptorShare
    /// Of each mapping.
    package private(set) var limits: FlowTable.Limits
    private let identity: () -> NodeIdentity
    private let report: @Sendable (PeerLane.Report) -> Void
    private var tables: [MappingID: Table] = [:]
    private var flows: [Name: TargetFlow] = [:]
    private var byNumber: [Number: TargetFlow] = [:]
    /// Each has a number in the tables, as long as there are flows.
    private var relays: [NodeKey: UInt16] = [:]
    private var isTicking = false

    /// - Parameter flows: of each mapping; no more than there are descriptors for.
    package init(
        on loop: EventLoop, routes: RouteTable, share: DescriptorShare, flows: FlowTable.Limits = FlowTable.Limits(),
        identity: @escaping () -> NodeIdentity, report: @escaping @Sendable (PeerLane.Report) -> Void
    ) {
        self.loop = loop
        self.routes = routes
        self.share = share
        limits = flows
        limits.flows = min(flows.flows, share.flows)
        self.identity = identity
        self.report = report
    }

    package var count: Int { flows.count }
    /// Sockets beside those of flows.
    var listenerCount: Int { flows.values.count { $0.isListening } }

    // MARK: From relays

    package func visited(
        _ number: DatagramFrame.Flow, _ opening: DatagramFrame.Opening?, _ bytes: UnsafeRawBufferPointer,
        by channel: PeerDatagrams
    ) {
        if let opening, isCheck(bytes, opening, number, channel) { return }
        guard let flow = flow(number, opening, channel) else {
            if opening == nil { channel.tell(.unknown, number) }
            return
        }
        pass(bytes, on: flow)
        // After the datagram, which so waits for nothing.
        if opening != nil { channel.tell(.known, number) }
    }

    private func pass(_ bytes: UnsafeRawBufferPointer, on flow: TargetFlow) {
        let (header, count) = (flow.header, flow.header.count + bytes.count)
        guard let room = loop.datagrams, let place = room.room(for: flow.socket, count) else {
            flow.table.traffic.tooLong += 1
            return
        }
        if !header.isEmpty {
            header.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: place, count: count).copyMemory(from: $0) }
        }
        if let base = bytes.baseAddress { (place + header.count).copyMemory(from: base, byteCount: bytes.count) }
        room.push(count)
        flow.table.traffic.fromVisitors += 1
        flow.table.traffic.bytesFromVisitors += UInt64(bytes.count)
    }

    /// Answers a check from outside that this node expects; no target hears of it.
    private func isCheck(
        _ bytes: UnsafeRawBufferPointer, _ opening: DatagramFrame.Opening, _ number: DatagramFrame.Flow,
        _ channel: PeerDatagrams
    ) -> Bool {
        guard let route = routes[opening.mapping], !route.pendingChecks.isEmpty, route.protocols.contains(.udp),
            let nonce = ReachabilityCheck.nonce(ofDatagram: bytes),
            route.pendingChecks[nonce] == opening.portOffset
        else { return false }
        let answer = ReachabilityCheck.answer(nonce: nonce, mapping: opening.mapping, by: identity())
        answer.withUnsafeBytes { _ = channel.send($0, of: number) }
        channel.tell(.over, number)
        return true
    }

    package func announced(_ flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening, by channel: PeerDatagrams) {
        if self.flow(flow, opening, channel) != nil { channel.tell(.known, flow) }
    }

    package func ended(_ flow: DatagramFrame.Flow, by channel: PeerDatagrams) {
        if let flow = byNumber[Number(session: channel.session, flow: flow)] { end(flow) }
    }

    private func flow(
        _ number: DatagramFrame.Flow, _ opening: DatagramFrame.Opening?, _ channel: PeerDatagrams
    ) -> TargetFlow? {
        if let known = byNumber[Number(session: channel.session, flow: number)] {
            guard let opening, known.name.opening != opening else {
                touch(known)
                return known
            }
            // The relay has given the number to another visitor, and its word of that was lost.
            end(known)
        }
        guard let opening else { return nil }
        let name = Name(relay: channel.key, opening: opening)
        guard let flow = flows[name] ?? open(name) else { return nil }
        touch(flow)
        if let number = flow.number { byNumber[Number(session: number.session, flow: number.flow)] = nil }
        flow.use(channel, number)
        byNumber[Number(session: channel.session, flow: number)] = flow
        return flow
    }

    private func touch(_ flow: TargetFlow) { flow.table.flows.spoke(in: flow.id, at: loop.now) }

    // MARK: Flows

    private func open(_ name: Name) -> TargetFlow? {
        let mapping = name.opening.mapping
        guard let route = routes[mapping], route.protocols.contains(.udp),
            let address = route.address(name.opening.portOffset)
        else { return nil }
        let socket: DatagramSocket
        do throws(SystemError) {
            socket = try DatagramSocket.connected(to: address, .atTheEdge)
            guard share.hasRoom(for: name.relay, socket.openDescriptors - 1) else { throw .outOfDescriptors }
        } catch {
            if error.isOutOfDescriptors { report(.ranShort) }
            return nil
        }
        let table = tables[mapping] ?? Table(limits)
        tables[mapping] = table
        guard case .opened(let id, let displaced) = table.flows.spoke(visitor(name), at: loop.now) else { return nil }
        if let displaced, let loser = table.byPlace[displaced.place] { letGo(loser) }
        let flow = TargetFlow(name, in: table, id, socket, of: self)
        flow.header = header(of: name, route)
        do throws(SystemError) { try socket.start(on: loop, flow) } catch {
            table.flows.end(id)
            return nil
        }
        flows[name] = flow
        table.byPlace[id.place] = flow
        listen(beside: flow)
        share.began(for: name.relay)
        tick()
        return flow
    }

    /// The kernel drops what comes to a flow's socket from elsewhere than the target, so that nobody would know. Its
    /// descriptor is the second one that a visitor counts for (`ReserveGate.descriptorsOfVisitor`); without one the
    /// flow goes on by itself.
    private func listen(beside flow: TargetFlow) {
        let (table, relay) = (flow.table, flow.name.relay)
        guard table.strays.began(flow.id, at: flow.name.opening.portOffset) else { return }
        let isHeard = flow.listen(on: loop) { share.hasRoom(for: relay, $0.openDescriptors - 1) }
        if !isHeard { table.strays.ended(flow.id) }
    }

    private func visitor(_ name: Name) -> FlowVisitor {
        let number = relays[name.relay] ?? UInt16(truncatingIfNeeded: relays.count)
        relays[name.relay] = number
        return FlowVisitor(name.opening.visitor, at: name.opening.portOffset, by: number)
    }

    private func header(of name: Name, _ route: Route) -> [UInt8] {
        let opening = name.opening
        return route.header(.datagram, for: opening.visitor.visitorAddress, at: name.relay, opening.portOffset)
    }

    /// The target is told otherwise from now on who a mapping's visitors are.
    package func tellOtherwise(of mapping: MappingID) {
        guard let route = routes[mapping] else { return }
        for flow in flows.values where flow.name.opening.mapping == mapping {
            flow.header = header(of: flow.name, route)
        }
    }

    private func end(_ flow: TargetFlow) {
        flow.table.flows.end(flow.id)
        letGo(flow)
    }

    private func letGo(_ flow: TargetFlow) {
        guard flows.removeValue(forKey: flow.name) != nil else { return }
        flow.table.byPlace[flow.id.place] = nil
        if let number = flow.number { byNumber[Number(session: number.session, flow: number.flow)] = nil }
        flow.table.strays.ended(flow.id)
        flow.stop()
        share.ended(for: flow.name.relay)
    }

    /// The mapping is no more.
    package func abort(_ mapping: MappingID) {
        for flow in flows.values where flow.name.opening.mapping == mapping {
            flow.tellEnd()
            letGo(flow)
        }
        tables[mapping] = nil
    }

    /// Counters of all mappings for datagrams.
    package func traffic() -> [MappingID: DatagramTraffic] {
        tables.mapValues { table in
            var traffic = table.traffic
            traffic.flows = table.flows.count
            traffic.opened = table.flows.counts.opened
            traffic.displaced = table.flows.counts.displaced
            return traffic
        }
    }

    private func tick() {
        guard !isTicking else { return }
        isTicking = true
        loop.schedule(after: Self.tick) { [weak self] in
            guard let self else { return }
            isTicking = false
            expire()
            if flows.isEmpty { relays = [:] } else { tick() }
        }
    }

    private func expire() {
        let now = loop.clock()
        for table in tables.values {
            for ended in table.flows.expire(at: now) {
                if let flow = table.byPlace[ended.place] { letGo(flow) }
            }
        }
    }

    // MARK: From targets

    func answered(_ flow: TargetFlow, _ bytes: UnsafeRawBufferPointer) {
        if !flow.isAnswered { answeredFirst(flow) }
        _ = flow.table.flows.answered(flow.id, at: loop.now)
        let fate = flow.number.flatMap { flow.channel?.send(bytes, of: $0.flow) } ?? .lost
        flow.table.traffic.count(fate)
        guard fate == .sent || fate == .cut else { return }
        flow.table.traffic.toVisitors += 1
        flow.table.traffic.bytesToVisitors += UInt64(bytes.count)
    }

    private func answeredFirst(_ flow: TargetFlow) {
        flow.isAnswered = true
        let (table, opening) = (flow.table, flow.name.opening)
        for other in table.strays.answered(at: opening.portOffset) { table.byPlace[other.place]?.stopListening() }
        guard routes[opening.mapping]?.doubted.contains(opening.portOffset) == true else { return }
        report(.targetAnswered(opening.mapping, port: opening.portOffset))
    }

    /// Something came to where the target answers a flow, and not from the target. Whoever can send there may have sent
    /// it, so it is no answer: the flow is as idle as before.
    func strayed(_ flow: TargetFlow, from source: DatagramAddress, isFirst: Bool) {
        flow.table.traffic.strays += 1
        let opening = flow.name.opening
        if isFirst { report(.strayAnswer(opening.mapping, port: opening.portOffset, from: source)) }
    }

    func failed(_ flow: TargetFlow, _ error: SystemError) {
        let opening = flow.name.opening
        flow.isAnswered = false
        guard let route = routes[opening.mapping], route.services.udp.silent[opening.portOffset] == nil else { return }
        report(.targetFailed(opening.mapping, port: opening.portOffset, over: .udp, error.text))
    }
}
