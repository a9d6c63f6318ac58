internal import PeerDataPlane

/// Adds up what the lanes count, until all have answered. Belongs to the control loop.
final class TrafficGathering<Key: Hashable> {
    private(set) var traffic: [Key: TrafficCounters] = [:]
    private var waitingFor: Int

    init(waitingFor: Int) { self.waitingFor = waitingFor }

    /// `true` with the last answer.
    func add(_ more: [Key: TrafficCounters]) -> Bool {
        traffic.merge(more) { $0 + $1 }
        waitingFor -= 1
        return waitingFor == 0
    }
}
