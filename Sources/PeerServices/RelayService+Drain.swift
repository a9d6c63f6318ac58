internal import PeerMesh
internal import PeerReactor

/// How much is left of a relay that lets its peers go.
public struct DrainStanding: Hashable, Sendable {
    public var sessions: Int
    public var visitors: Int

    public init(sessions: Int, visitors: Int) {
        self.sessions = sessions
        self.visitors = visitors
    }

    public var isEmpty: Bool { sessions == 0 && visitors == 0 }
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
            onLanes(of: claim.key) { $0.abortVisitors(of: claim) }
        }
    }

    /// Asks the lanes, and answers on the control loop.
    public func drainStanding(_ answer: @escaping (DrainStanding) -> Void) {
        let bound = LoopBound((self, answer), on: loop)
        report { carried in
            let (service, answer) = bound.value
            answer(
                DrainStanding(
                    sessions: service.sessionCount, visitors: carried.reduce(0) { $0 + $1.traffic.open }))
        }
    }
}
