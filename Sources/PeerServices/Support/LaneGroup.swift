internal import PeerDataPlane
internal import PeerReactor

/// The lanes of one role, one for each loop of the data plane. What is said to one lane is done on its loop, in the
/// order in which it was said.
struct LaneGroup<Lane: AnyObject & SendableMetatype> {
    let loops: [EventLoop]
    private let lanes: [LoopBound<Lane>]

    /// None yet.
    init() {
        loops = []
        lanes = []
    }

    /// - Parameter make: called for each loop, with its number among them.
    init(on loops: [EventLoop], _ make: (Int, EventLoop) -> Lane) {
        self.loops = loops
        lanes = loops.enumerated().map { LoopBound(make($0, $1), on: $1) }
    }

    var count: Int { lanes.count }

    subscript(_ index: Int) -> LoopBound<Lane> { lanes[index] }

    func on(_ index: Int, _ body: @escaping @Sendable (Lane) -> Void) {
        let lane = lanes[index]
        loops[index].execute { body(lane.value) }
    }

    func on(_ indexes: [Int], _ body: @escaping @Sendable (Lane) -> Void) {
        for index in indexes { on(index, body) }
    }

    func onAll(_ body: @escaping @Sendable (Lane) -> Void) { on(Array(lanes.indices), body) }

    /// Adds up what the loops count of their datagrams, and answers on the control loop.
    func countDatagrams(on control: EventLoop, _ answer: @escaping (DatagramCounts) -> Void) {
        let gathering = LaneGathering(DatagramCounts(), waitingFor: count)
        let bound = LoopBound((gathering: gathering, answer: answer), on: control)
        for loop in loops {
            loop.execute {
                let counts = loop.datagramCounts
                control.execute {
                    let (gathering, answer) = bound.value
                    if gathering.add({ $0 = $0 + counts }) { answer(gathering.sum) }
                }
            }
        }
    }

    /// Adds up what the lanes count, and answers on the control loop when the last one has said it.
    func gather<Key: Hashable & Sendable>(
        on control: EventLoop, _ counters: @escaping @Sendable (Lane) -> [Key: TrafficCounters],
        _ answer: @escaping ([Key: TrafficCounters]) -> Void
    ) {
        let none: [Key: TrafficCounters] = [:]
        let bound = LoopBound((gathering: LaneGathering(none, waitingFor: count), answer: answer), on: control)
        onAll { lane in
            let traffic = counters(lane)
            control.execute {
                let (gathering, answer) = bound.value
                if gathering.add({ $0.merge(traffic) { $0 + $1 } }) { answer(gathering.sum) }
            }
        }
    }
}
