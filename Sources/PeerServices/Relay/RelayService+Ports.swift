internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The public ports of mappings, and which lanes serve them.
extension RelayService {
    /// A round trip is seldom shorter.
    private static let handshakesInterval = Instant.Span.milliseconds(5)

    func hold(_ claim: Claim, _ range: PortRange, _ protocols: TransportProtocols) -> RelayCore.Event {
        var held: [Listener] = []
        for port in range.ports {
            do throws(SystemError) {
                let listener = try Listener.hold(port: port, on: bindHost, .atTheEdge)
                let load = ReserveGate.Load(descriptors: listener.openDescriptors, buffered: 0)
                guard visitorPolicy.reserve.admits(.port, at: load) else { throw .outOfDescriptors }
                held.append(listener)
            } catch {
                if error.isOutOfDescriptors {
                    ranShort()
                    return .portsShort(claim)
                }
                if !error.isAddressInUse { log.warning("port \(port): \(error)") }
                return .portsBusy(claim, range, taken: error.isAddressInUse ? port : nil)
            }
        }
        ports[claim] = held
        return .portsHeld(claim, range)
    }

    /// A port, a channel or a visitor was refused for want of descriptors.
    func ranShort(_ count: UInt64 = 1) {
        guard shortage.noted(count, at: loop.clock()) else { return }
        log.warning(
            "no descriptors are left: visitors and ports are refused; of \(visitorPolicy.reserve.descriptors.limit) "
                + "open files \(visitorPolicy.reserve.descriptors.reserve) are kept for sessions. Raise the limit "
                + "(ulimit -n, LimitNOFILE=)"
        )
        host?.changed()
    }

    func lookAtShortage() {
        let refused = shortage.timePassed(at: loop.clock()) {
            let load = ReserveGate.Load(descriptors: Descriptor.openCount, buffered: 0)
            return visitorPolicy.reserve.isShortOfDescriptors(at: load)
        }
        guard let refused else { return }
        log.info("there are descriptors again; \(refused) visitors and ports were refused meanwhile")
        host?.changed()
    }

    /// - Parameter only: these ports alone, by how many they are after the first one.
    func listen(_ claim: Claim, _ id: SessionID, _ filter: NetworkFilter, _ only: Set<UInt16>?) {
        guard sessions[id] != nil else { return }
        closing[claim] = nil
        // Here and now, so that the ports accept before the peer is told that they do.
        let loop = laneLoops[laneIndex(of: claim.key)]
        let opened = chosen(claim, only).map { (offset: $0.offset, listener: LoopBound($0.listener, on: loop)) }
        for (_, listener) in chosen(claim, only) {
            do throws(SystemError) { try listener.listen() } catch {
                log.error("port \(listener.address.port): \(error)")
            }
        }
        let others = laneIndexes(of: claim.key).dropFirst().map {
            index -> @Sendable (StreamParcel, RelayLane.AcceptedVisitor) -> Void in
            let (lane, loop) = (lanes[index], laneLoops[index])
            return { parcel, visitor in
                loop.execute { if let stream = parcel.open() { lane.value.came(stream, visitor) } }
            }
        }
        onLane(of: claim) { lane in
            lane.listen(
                claim, opened.map { ($0.offset, $0.listener.value) }, isAll: only == nil, for: id, filter,
                others: others)
        }
    }

    private func chosen(_ claim: Claim, _ only: Set<UInt16>?) -> [(offset: UInt16, listener: Listener)] {
        (ports[claim] ?? []).enumerated().compactMap { offset, listener in
            only?.contains(UInt16(offset)) == false ? nil : (UInt16(offset), listener)
        }
    }

    /// Has the ports refuse as soon as nobody is in the middle of TCP's handshake there. That is at once, or after a
    /// round trip of such a visitor. Who comes meanwhile gets no answer, and is refused when he repeats his SYN.
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

    func pause(_ claim: Claim, _ only: Set<UInt16>? = nil) {
        if only == nil { closing[claim] = nil }
        let loop = laneLoops[laneIndex(of: claim.key)]
        let late = chosen(claim, only).map { (LoopBound($0.listener, on: loop), $0.listener.pause()) }
        onLane(of: claim) { lane in
            for (listener, late) in late { listener.value.admit(late) }
            lane.pause(claim, only)
        }
    }

    func free(_ claim: Claim) {
        guard let listeners = ports.removeValue(forKey: claim) else { return }
        closing[claim] = nil
        for listener in listeners { listener.pause() }
        // The lane lets go of them on its own thread; with that they are closed.
        let parcel = ListenerParcel(listeners)
        let letGo: @Sendable (RelayLane) -> Void = { lane in
            lane.pause(claim)
            parcel.release()
        }
        onLanes(of: claim.key, first: letGo) { $0.abortVisitors(of: claim) }
    }

    /// Holds listeners until a lane is done with them.
    private final class ListenerParcel: @unchecked Sendable {
        // Unchecked: handed from the control loop to one lane and touched by nobody else in between.
        private var listeners: [Listener]
        init(_ listeners: [Listener]) { self.listeners = listeners }
        func release() { listeners = [] }
    }

    func onLanes(_ indexes: [Int], _ body: @escaping @Sendable (RelayLane) -> Void) {
        for index in indexes {
            let lane = lanes[index]
            laneLoops[index].execute { body(lane.value) }
        }
    }

    /// Where the claim's ports accept.
    private func onLane(of claim: Claim, _ body: @escaping @Sendable (RelayLane) -> Void) {
        onLanes([laneIndex(of: claim.key)], body)
    }

    /// On all lanes of a key; on those that its visitors are dealt to by way of the one that accepts them, and so after
    /// everybody who was dealt before.
    ///
    /// - Parameter first: for the lane that accepts, before the other.
    func onLanes(
        of key: NodeKey, first: @escaping @Sendable (RelayLane) -> Void = { _ in },
        _ body: @escaping @Sendable (RelayLane) -> Void
    ) {
        let indexes = laneIndexes(of: key)
        let others = indexes.dropFirst().map { (lanes[$0], laneLoops[$0]) }
        onLanes([indexes[0]]) { lane in
            first(lane)
            body(lane)
            for (other, loop) in others { loop.execute { body(other.value) } }
        }
    }

    /// The ports of a key are on one lane, session after session: what is said of them is done in the order in which it
    /// was said.
    func laneIndex(of key: NodeKey) -> Int {
        inheritedLanes[key] ?? key.bytes.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff } % laneLoops.count
    }

    /// The lane with its ports, and then the others that its visitors are dealt to.
    func laneIndexes(of key: NodeKey) -> [Int] {
        let first = laneIndex(of: key)
        return (0..<min(laneLoops.count, Self.maximumGroups)).map { (first + $0) % laneLoops.count }
    }
}
