package import PeerCore
internal import PeerWire

/// How many descriptors each relay may have of a peer's, on one lane: a relay takes only so many that the others have
/// some.
package final class DescriptorShare {
    private let supply: ReserveGate.Supply
    private let lanes: Int
    /// Visits by the relay that they came from.
    private var visits: [NodeKey: Int] = [:]
    /// The channels that take their part of it.
    weak var dialled: DialledChannels?

    /// - Parameters:
    ///   - supply: of this process: what is left of them is for sessions, commands and checks.
    ///   - lanes: that share them.
    package init(_ supply: ReserveGate.Supply, lanes: Int) {
        self.supply = supply
        self.lanes = lanes
    }

    /// Flows that a mapping may have on this lane, each with a descriptor: half of those that visitors may have. With
    /// more places, newcomers would be turned away for want of descriptors while older flows lie idle.
    var flows: Int { max(1, (supply.limit - supply.reserve) / (2 * max(1, lanes))) }

    /// Whether a relay may have one more descriptor, with this number.
    func hasRoom(for relay: NodeKey, _ descriptor: Int) -> Bool {
        let held = (dialled?.count(to: relay) ?? 0) + visits[relay, default: 0] * ReserveGate.descriptorsOfVisitor
        return supply.admits(descriptor, holding: held * lanes)
    }

    func began(for relay: NodeKey) { visits[relay, default: 0] += 1 }

    func ended(for relay: NodeKey) {
        let left = visits[relay, default: 1] - 1
        visits[relay] = left > 0 ? left : nil
    }
}
