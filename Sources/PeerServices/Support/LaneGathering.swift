/// Adds up what the lanes count, until all have answered. Belongs to the control loop.
final class LaneGathering<Sum> {
    private(set) var sum: Sum
    private var waitingFor: Int

    init(_ none: Sum, waitingFor: Int) {
        sum = none
        self.waitingFor = waitingFor
    }

    /// - Parameter add: what one lane counted.
    /// - Returns: `true` with the last answer.
    func add(_ add: (inout Sum) -> Void) -> Bool {
        add(&sum)
        waitingFor -= 1
        return waitingFor == 0
    }
}
