import PeerCore
import PeerWire
import SimulationSupport
import SimulationSupport

/// Attackers with budgets, in a `MeshWorld`: members with as many keys as they like, and hosts in so many networks.
/// They call whom they like and say what they like; what they cannot do is sign for others, or call from others' hosts.
final class MeshAttack {
    struct Budget {
        /// Calls in a second, each with a key of its own, and the hosts that they come from.
        var calls: Int
        var hosts: [HostAddress]
        /// Keys that call in turns; `nil`: each call has a fresh one.
        var keys: Int?
        /// Made-up rows in each call.
        var rows: Int
        /// Seconds between two calls of one key that is not fresh.
        var pause = 1
    }

    /// Many keys, few networks: two hosts in each of two /24 of one provider.
    static let manyKeys = Budget(
        calls: 20, hosts: [.v4(0x0a_01_01), .v4(0x0a_01_02), .v4(0x0a_02_01), .v4(0x0a_02_02)], rows: 10)
    /// Many networks, few keys.
    static let manyNetworks = Budget(
        calls: 20, hosts: (0..<40).map { .v4(0x80_07_07 + $0 << 16) }, keys: 40, rows: 10)
    /// Slow and patient: from four networks, and renewed as an honest node would do it.
    static let patient = Budget(
        calls: 4, hosts: (0..<4).map { .v4(0xc0_07_07 + $0 << 16) }, keys: 200, rows: 2, pause: 60)

    /// Nobody of the mesh is there.
    static let stranger = NodeAddress(host: HostAddress("198.51.100.7")!, port: 443)!

    private unowned let world: MeshWorld
    private let budgets: [Budget]
    /// Rows that are told again and again.
    private var pool: [SignedRecord] = []
    private let poolSize: Int
    private var random: SeededGenerator
    private var nextKey = 20_000_000
    /// Keys that attackers met honest nodes with, and that bear witness for whatever is made up.
    private let witnesses = [Seal(19_000_001), Seal(19_000_002)]
    private(set) var called = 0
    private(set) var isBusy = 0
    var isOn = true

    /// - Parameter rows: made up, in all.
    init(_ world: MeshWorld, _ budgets: [Budget], rows: Int, seed: UInt64) {
        self.world = world
        self.budgets = budgets
        poolSize = rows
        random = SeededGenerator(seed: seed)
    }

    /// Every other one names the stranger, the others a host each where nobody is.
    private func row() -> SignedRecord {
        if pool.count >= poolSize { return pool[Int(random.next() % UInt64(pool.count))] }
        nextKey += 1
        let seal = Seal(nextKey)
        let address = pool.count % 2 == 0 ? Self.stranger : .number(0x300000 + nextKey % 0x100000)
        let time = world.wall.seconds
        let words = witnesses.map {
            $0.sign(.init(subject: seal.key, witness: $0.key, time: time, address: address))
        }
        let record = seal.record(
            issue: UInt64(time) * 1_000, issued: time, roles: .relay, name: "relay", addresses: [address],
            witnesses: words)
        pool.append(record)
        return record
    }

    /// One second of it.
    func second(_ number: Int) {
        guard isOn else { return }
        for budget in budgets {
            for call in 0..<budget.calls {
                let seal: Seal
                if let keys = budget.keys {
                    let index = number * budget.calls + call
                    seal = Seal(18_000_000 + budget.pause * 10_000 + index % keys)
                } else {
                    nextKey += 1
                    seal = Seal(nextKey)
                }
                // The witnesses talk to everybody too, so that everybody has met them.
                let caller = call == 0 ? witnesses[number % 2] : seal
                let host = budget.hosts[Int(random.next() % UInt64(budget.hosts.count))]
                let time = world.wall.seconds
                let own = caller.record(issue: UInt64(time) * 1_000, issued: time, name: "member")
                called += 1
                let records = [own] + (0..<budget.rows).map { _ in row() }
                if !world.call(records, from: .init(key: caller.key, host: host)) { isBusy += 1 }
            }
        }
    }
}
