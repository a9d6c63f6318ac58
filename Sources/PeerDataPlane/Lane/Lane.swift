package import PeerCore
package import PeerReactor
internal import PeerWire

/// One loop's frontends, egresses and visits: a frontend hands a call in, the router names the ways out, an egress
/// takes the call over, and the visit that becomes of it is carried and counted here.
package final class Lane {
    package let loop: EventLoop
    private var router = Router()
    private var frontends: [any Frontend] = []
    private var egresses: [EgressName: any Egress] = [:]
    private var visits: [ObjectIdentifier: Visit] = [:]
    private var counters: [Destination: TrafficCounters] = [:]

    package init(on loop: EventLoop) { self.loop = loop }

    // MARK: Parts

    package func add(_ frontend: some Frontend) { frontends.append(frontend) }

    /// - Parameter egress: comes after those that were added before and take the same calls.
    package func add(_ egress: some Egress) {
        egresses[egress.offer.name] = egress
        router.add(egress.offer)
    }

    /// Called four times a second at a relay.
    package func timePassed() {
        for frontend in frontends { frontend.timePassed() }
        for egress in egresses.values { egress.timePassed() }
    }

    // MARK: Calls

    /// A call came in.
    package func take(_ call: consuming Call) {
        call.hops = router.hops(to: call.terms.destination, for: call.terms.caller)[...]
        pass(call)
    }

    /// The call goes to the next way out. It is refused where there is none left.
    package func pass(_ call: consuming Call) {
        guard let hop = call.hops.popFirst(), let egress = egresses[hop] else { return refuse(call) }
        egress.take(call)
    }

    /// The call's stream is reset.
    package func refuse(_ call: consuming Call) {
        if call.terms.destination.kind == .claim { count(call.terms.destination) { $0.refused += 1 } }
        // The channel goes with the call, which its owner has to know.
        call.terms.loan?.giveBack(nil, [])
    }

    // MARK: Visits

    /// A call has found its way out.
    ///
    /// - Parameter side: of the data channel.
    package func begin(
        _ visit: Visit, channel side: Forwarder.Side, input: [UInt8] = [], isLeftRegistered: Bool,
        isRightRegistered: Bool
    ) {
        count(visit.destination) { $0.open += 1 }
        visit.useFrames(on: side, input: input)
        visits[ObjectIdentifier(visit)] = visit
        visit.start(isLeftRegistered: isLeftRegistered, isRightRegistered: isRightRegistered)
    }

    func ended(_ visit: Visit, _ ending: Forwarder.Ending) {
        guard visits.removeValue(forKey: ObjectIdentifier(visit)) != nil else { return }
        let wasCheck = visit.wasCheck
        count(visit.destination) { counters in
            counters.open -= 1
            if wasCheck {
                counters.connections -= min(counters.connections, 1)
            } else {
                counters.add(bytesOf: visit)
            }
            if case .neverConnected = ending { counters.failed += 1 }
        }
        visit.egress.ended(visit, ending)
    }

    /// Breaks visits off, and calls that are on their way to become visits.
    package func abort(_ isMeant: (Destination) -> Bool) {
        for egress in egresses.values { egress.abort { isMeant($0.destination) } }
        abortVisits { isMeant($0.destination) }
    }

    func abortVisits(_ isMeant: (Visit) -> Bool) {
        for visit in visits.values where isMeant(visit) { visit.abort() }
    }

    func eachVisit(_ body: (Visit) -> Void) { for visit in visits.values { body(visit) } }

    // MARK: Counters

    package func count(_ destination: Destination, _ body: (inout TrafficCounters) -> Void) {
        body(&counters[destination, default: TrafficCounters()])
    }

    /// Visits to a destination at this moment, on this lane.
    package func visits(to destination: Destination) -> Int { counters[destination]?.open ?? 0 }

    package func forgetCounters(of destination: Destination) { counters[destination] = nil }

    /// Counters of all destinations, with what is under way.
    package func traffic() -> [Destination: TrafficCounters] {
        var all = counters
        for visit in visits.values { all[visit.destination, default: TrafficCounters()].add(bytesOf: visit) }
        return all
    }
}
