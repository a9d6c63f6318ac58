internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
public import PeerWire

/// How much is left of a relay that lets its peers go.
public struct DrainStanding: Hashable, Sendable {
    /// Names of peers whose sessions it waits for: they have no other relay yet.
    public var peers: [String]
    public var visitors: Int
    /// Names of relays with a session of their own here. They are not waited for: they have their own way into the
    /// mesh.
    public var relays: [String]

    public var sessions: Int { peers.count }
    public var isEmpty: Bool { sessions == 0 && visitors == 0 }
}

extension CarriedMapping {
    /// Visitors who are served: those of TCP by connections of their own, those of UDP by the peer's session alone.
    fileprivate var served: Int {
        isLive ? traffic.open : traffic.open - (traffic.datagrams?.flows ?? 0)
    }
}

/// Letting all peers go before the relay stops: each finds another relay first, and visitors run on meanwhile.
extension RelayService {
    public var isDraining: Bool { core.isDraining }

    /// - Parameter seconds: until those that are still here are sent away, and visitors are broken off.
    public func drain(within seconds: Int64) {
        handle(.drain(true))
        drainTimer?.cancel()
        drainTimer = loop.schedule(after: .seconds(UInt64(max(0, seconds)))) { [weak self] in self?.endDrain() }
    }

    /// It stays after all, and takes peers again.
    public func stay() {
        drainTimer?.cancel()
        drainTimer = nil
        handle(.drain(false))
    }

    private func endDrain() {
        handle(.drained)
        // Their sessions may have ended long before.
        for standing in core.standings {
            let claim = Claim(key: standing.lease.key, mapping: standing.lease.mapping)
            lanes.on(claim.key) { $0.abortVisitors(of: claim) }
        }
    }

    /// Asks the lanes, and answers on the control loop.
    ///
    /// - Parameter others: keys of nodes that are relays themselves.
    public func drainStanding(besides others: Set<NodeKey>, _ answer: @escaping (DrainStanding) -> Void) {
        let bound = LoopBound((self, answer), on: loop)
        report { carried in
            let (service, answer) = bound.value
            let here = service.core.connected.sorted { ($0.name, $0.key.short) < ($1.name, $1.key.short) }
            answer(
                DrainStanding(
                    peers: here.filter { !others.contains($0.key) }.map(\.name),
                    visitors: carried.reduce(0) { $0 + $1.served },
                    relays: here.filter { others.contains($0.key) }.map(\.name)))
        }
    }
}
