internal import PeerCore
internal import PeerReactor

/// A round of gossip that somebody waits for (`--us`).
struct Refresh {
    /// Exchanges that are not over.
    var pending: Set<UInt64> = []
    var answered: Set<UInt64> = []
    var asked = 0
    /// Records that had been taken in before it.
    let accepted: Int
    let done: (MeshService.Refreshed) -> Void

    mutating func begun(_ number: UInt64) {
        pending.insert(number)
        asked += 1
    }
}

extension MeshService {
    /// What came of a refresh.
    public struct Refreshed: Sendable {
        /// Nodes that were asked, and those that answered.
        public var asked: Int
        public var answered: Int
        /// Records that were new here.
        public var learnt: Int
    }

    /// A round of exchanges, now. `done` is called once, when all of them are over; each has its time-out.
    public func refresh(_ done: @escaping (Refreshed) -> Void) {
        refreshes.append(Refresh(accepted: gossip.counts.accepted, done: done))
        gossip.hurry(at: loop.clock())
        turn()
    }

    func noteRefresh(_ body: (inout Refresh) -> Void) {
        for index in refreshes.indices { body(&refreshes[index]) }
    }

    func endRefreshes() {
        let over = refreshes.filter(\.pending.isEmpty)
        guard !over.isEmpty else { return }
        refreshes.removeAll(where: \.pending.isEmpty)
        for refresh in over {
            let learnt = gossip.counts.accepted - refresh.accepted
            refresh.done(Refreshed(asked: refresh.asked, answered: refresh.answered.count, learnt: learnt))
        }
    }
}
