/// Beside which flows of a mapping a peer listens for answers from elsewhere than the target: the first ones at each
/// port, a few at a time, until what is there has answered by itself. A service that answers rightly costs nothing from
/// then on, and one that does not is noticed with its first visitors. No I/O, no clock.
public struct StrayWatch: Sendable {
    /// Flows of one mapping at a time.
    public static let places = 4

    /// The ports that have answered, by how many they are after the mapping's first one; no more than it has ports.
    private var answered: Set<UInt16> = []
    private var watched: [FlowTable.ID: UInt16] = [:]

    public init() {}

    public var count: Int { watched.count }

    /// A flow to a port began.
    ///
    /// - Returns: whether it is listened beside; then it has a place until it ends, or the port answers.
    public mutating func began(_ flow: FlowTable.ID, at offset: UInt16) -> Bool {
        guard watched.count < Self.places, !answered.contains(offset) else { return false }
        watched[flow] = offset
        return true
    }

    /// A flow is over, or there was no socket to listen by.
    public mutating func ended(_ flow: FlowTable.ID) { watched[flow] = nil }

    /// What is at a port answered from there.
    ///
    /// - Returns: flows that are not listened beside any more.
    public mutating func answered(at offset: UInt16) -> [FlowTable.ID] {
        guard answered.insert(offset).inserted else { return [] }
        let over = watched.filter { $0.value == offset }.map(\.key)
        for flow in over { watched[flow] = nil }
        return over
    }
}
