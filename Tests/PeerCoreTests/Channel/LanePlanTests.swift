import PeerCore
import PeerWire
import Testing

/// Which lanes serve a key, and what happens to that when the key is handed over.
@Suite struct LanePlanTests {
    private func key(_ number: UInt8) -> NodeKey {
        NodeIdentity(seed: [UInt8](repeating: number, count: NodeIdentity.seedByteCount))!.key
    }

    /// Two keys whose ports are on different lanes.
    private func apart(_ plan: LanePlan) -> (NodeKey, NodeKey) {
        let first = key(1)
        let second = (UInt8(2)...).lazy.map(key).first { plan.first(of: $0) != plan.first(of: first) }!
        return (first, second)
    }

    @Test func `a key has the same lanes each time, the one that accepts in front`() {
        let plan = LanePlan(lanes: 8)
        for number in UInt8(0)..<50 {
            let lanes = plan.all(of: key(number))
            #expect(lanes == plan.all(of: key(number)))
            #expect(lanes.first == plan.first(of: key(number)))
            #expect(Set(lanes).count == LanePlan.maximumGroups && lanes.allSatisfy { (0..<8).contains($0) })
        }
    }

    @Test func `keys are spread over all lanes`() {
        let plan = LanePlan(lanes: 4)
        #expect(Set((UInt8(0)..<100).map { plan.first(of: key($0)) }) == [0, 1, 2, 3])
    }

    @Test(arguments: [0, 1, 2, 3]) func `of few lanes all serve`(_ count: Int) {
        let plan = LanePlan(lanes: count)
        #expect(Set(plan.all(of: key(7))) == Set(0..<max(1, count)))
    }

    @Test func `a key that takes over stays on the lane of the former one, which may move its ports`() {
        var plan = LanePlan(lanes: 8)
        let (former, next) = apart(plan)
        let moved = plan.takeOver(from: [former], by: next, hasPorts: { $0 == former }, isHere: { _ in false })
        #expect(moved == [former])
        #expect(plan.first(of: next) == plan.first(of: former))
    }

    @Test func `a key without ports of former ones stays where it would be`() {
        var plan = LanePlan(lanes: 8)
        let (former, next) = apart(plan)
        let lane = plan.first(of: next)
        #expect(plan.takeOver(from: [former], by: next, hasPorts: { _ in false }, isHere: { _ in true }) == [former])
        #expect(plan.takeOver(from: [], by: next, hasPorts: { _ in true }, isHere: { _ in true }).isEmpty)
        #expect(plan.first(of: next) == lane)
    }

    @Test func `of two former keys with ports on different lanes the latest moves, and the other one's ports stay`() {
        var plan = LanePlan(lanes: 8)
        let (oldest, latest) = apart(plan)
        let next = key(200)
        let moved = plan.takeOver(
            from: [oldest, latest], by: next, hasPorts: { $0 == oldest || $0 == latest }, isHere: { _ in false })
        #expect(moved == [latest])
        #expect(plan.first(of: next) == plan.first(of: latest))
    }

    @Test func `a key that has ports of its own keeps its lane`() {
        var plan = LanePlan(lanes: 8)
        let (former, next) = apart(plan)
        let lane = plan.first(of: next)
        let moved = plan.takeOver(from: [former], by: next, hasPorts: { _ in true }, isHere: { _ in true })
        #expect(moved.isEmpty)
        #expect(plan.first(of: next) == lane)
    }

    @Test func `a key that takes over twice stays where it was after the first time`() {
        var plan = LanePlan(lanes: 8)
        let (former, next) = apart(plan)
        _ = plan.takeOver(from: [former], by: next, hasPorts: { $0 == former }, isHere: { _ in false })
        let lane = plan.first(of: next)
        _ = plan.takeOver(from: [former], by: next, hasPorts: { _ in false }, isHere: { _ in false })
        #expect(plan.first(of: next) == lane)
    }
}
