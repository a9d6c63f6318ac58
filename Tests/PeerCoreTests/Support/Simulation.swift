import PeerCore
import PeerWire
import SimulationSupport

/// One relay and several peers under virtual time, from one seed.
///
/// 1. Rough: processes and the relay crash and come back, homes are run twice, sessions break unnoticed, ports are
///    taken by others, peers cannot use numbers at their own end, the disk fails, users release mappings, tokens are
///    revoked and renewed with other ports.
/// 2. Quiet: everybody must come to rest, each mapping verified or refused for a reason that is true.
/// 3. Crashes only: what nobody is to blame for must cost nobody a port.
/// 4. Quiet: everybody must have what it had.
///
/// Invariants are checked after every step. `violation` is the first one that failed.
final class Simulation {
    private let seed: UInt64
    var random: SeededGenerator
    private(set) var now = Instant.zero
    private(set) var violation: String?
    var queue = EventQueue()
    var isRough = true
    private var didDiskFail = false
    /// Signatures take a hundred times as long as all the rest of a run.
    private let signsReceipts: Bool

    private let policy: RelayCore.Policy
    var relay: RelayBench?
    var epoch = 0
    private var disk: [Claim: Lease] = [:]
    private var busy: Set<UInt16> = []
    private var homes: [Home] = []
    var links: [SessionID: Link] = [:]
    private var nextNumber: UInt64 = 1
    /// Last words, for a failure.
    private(set) var log: [String] = []
    private(set) var steps = 0

    final class Home {
        let identity: NodeIdentity
        var grant: Grant
        var wishes: [MappingWish] = []
        /// The latest of each mapping that the peer signed.
        var receipts: [MappingID: Receipt] = [:]
        var remembered: [MappingID: PortRange] = [:]
        var processes: [Process] = []
        /// Of the last process, on its disk.
        var lastStart: UInt64 = 0
        init(_ identity: NodeIdentity, grant: Grant) {
            self.identity = identity
            self.grant = grant
        }
        var key: NodeKey { identity.key }
        var alive: [Process] { processes.filter(\.isAlive) }
    }

    // Upwards unowned, or the two would keep each other; homes stay as long as the simulation.
    final class Process {
        unowned let home: Home
        let start: ProcessStart
        var agreements: [PeerPortAgreement] = []
        var wakes: [MappingID: Instant] = [:]
        var link: Link?
        var isAlive = true
        init(home: Home, start: ProcessStart) {
            self.home = home
            self.start = start
        }
    }

    final class Link {
        let id: SessionID
        unowned let process: Process
        let epoch: Int
        /// Nothing passes any more, whether the ends know or not.
        var isCut = false
        var isUp = false
        var lastToRelay = Instant.zero
        var lastToPeer = Instant.zero
        init(id: SessionID, process: Process, epoch: Int) {
            self.id = id
            self.process = process
            self.epoch = epoch
        }
    }

    init(seed: UInt64) {
        self.seed = seed
        signsReceipts = seed % 50 == 12
        random = SeededGenerator(seed: seed)
        let leaseSeconds: UInt32 = seed % 3 == 0 ? 40 : 86_400
        policy = RelayCore.Policy(
            ports: PortRange(first: 2_000, count: 48)!, protocols: [.tcp, .udp], leaseSeconds: leaseSeconds)
    }

    // MARK: The run

    func run() {
        // What is still due refers to the simulation, and would keep it.
        defer { queue = EventQueue() }
        for _ in 0..<number(0...6) { busy.insert(port()) }
        startRelay()
        for index in 0..<number(2...4) {
            let home = Home(NodeIdentity(seed: .seed(UInt64(index + 2)))!, grant: makeGrant())
            for _ in 0..<number(1...2) { home.wishes.append(makeWish()) }
            homes.append(home)
            after(milliseconds(0...1_000)) { [self] in startProcess(home) }
        }
        tick()
        misfortunes(number(4...14), within: 12_000, rough: true)
        advance(to: now + .seconds(13))
        isRough = false
        settle("after the rough part")
        let before = places()
        misfortunes(number(3...8), within: 8_000, rough: false)
        advance(to: now + .seconds(9))
        settle("after crashes only")
        let after = places()
        // A lease that ran out meanwhile may have made room for a mapping that was refused.
        if !Set(before).isSubset(of: after) {
            fail("ports were lost by crashes alone:\nbefore \(before)\nafter  \(after)")
        }
    }

    private func misfortunes(_ count: Int, within limit: Int, rough: Bool) {
        for _ in 0..<count { after(milliseconds(0...limit)) { [self] in misfortune(rough) } }
    }

    private func misfortune(_ rough: Bool) {
        let home = homes[number(0...(homes.count - 1))]
        let process = home.alive.isEmpty ? nil : home.alive[number(0...(home.alive.count - 1))]
        switch number(0...(rough ? 17 : 8)) {
        case 0, 1: process.map(crash)
        case 2: if home.alive.count < 2 { startProcess(home) }
        case 3, 4: if let link = process?.link { cut(link) }
        case 5: crashRelay()
        case 6, 7: process.map { silence($0) }
        case 8:
            process.map(crash)
            startProcess(home)
        case 9, 10:
            let taken = port()
            if relay?.held.values.contains(where: { $0.ports.contains(.only(taken)) }) != true { busy.insert(taken) }
            relay?.busy = busy
        case 11:
            if let freed = busy.sorted().first { busy.remove(freed) }
            relay?.busy = busy
        case 12:
            relay?.isDiskBroken = true
            didDiskFail = true
            after(milliseconds(100...3_000)) { [self] in relay?.isDiskBroken = false }
        case 13: process.map { unmap($0) }
        case 14: process.map { map($0) }
        case 15:
            let revoked = home.grant.membership
            home.grant = makeGrant()
            note("\(revoked) is revoked")
            give(.membershipEnded(revoked, .revoked, detail: ""))
        case 16:
            home.grant = makeGrant()
            // Under a limit that was lowered what is there stays, but only for as long as the disk knows of it.
            home.grant.limits = Grant.Limits()
            note("\(home.key.short) has another token: \(home.grant)")
            // Whichever session the relay has of it.
            for (id, key) in relay?.sessions ?? [:] where key == home.key { give(.grantRenewed(id, home.grant)) }
        default: process?.link.map { repeatRequest($0) }
        }
    }

    /// Lets time pass until all is as it should be, and a little more, in which it must stay so.
    private func settle(_ when: String) {
        relay?.isDiskBroken = false
        if relay == nil { startRelay() }
        for home in homes {
            if home.alive.isEmpty { startProcess(home) }
            for process in home.alive {
                for agreement in process.agreements {
                    handle(.targets(.answering(agreement.wish.ports.count)), agreement.wish.id, process)
                }
            }
        }
        var quiet = 0
        for _ in 0..<120 where violation == nil {
            advance(to: now + .seconds(1))
            quiet = unsettled() == nil ? quiet + 1 : 0
            if quiet == 3 { return }
        }
        if violation == nil { fail("\(when), not at rest after 2 minutes: \(unsettled() ?? "")") }
    }

    /// What is not yet as it should be at the end.
    private func unsettled() -> String? {
        guard let relay else { return "no relay" }
        for home in homes {
            guard home.alive.count == 1 else { return "\(home.alive.count) processes of \(home.key.short)" }
            for agreement in home.alive[0].agreements {
                let claim = Claim(key: home.key, mapping: agreement.wish.id)
                switch agreement.stage {
                case .active where agreement.ports.map({ agreement.verifiedPorts == [$0] }) == true:
                    guard let session = home.alive[0].link?.id, relay.listening[claim] == session,
                        relay.refusing[claim, default: []].isEmpty,
                        relay.held[claim]?.ports == agreement.ports
                    else { return "verified, but the relay does not listen: \(claim)" }
                    let left = (relay.saved[claim]?.expires.seconds ?? 0) - relay.wall.seconds
                    guard !signsReceipts || home.receipts[agreement.wish.id]?.terms.ports == agreement.ports else {
                        return "verified, but there is no receipt for these ports: \(claim)"
                    }
                    guard didDiskFail || left >= Int64(policy.leaseSeconds / 2) - 4 else {
                        return "verified, but on the disk its lease has \(left) s left: \(claim)"
                    }
                case .refused(let reason, let detail, _):
                    guard isTrue(reason, agreement.wish, claim, home.grant) else {
                        return "refused without reason: \(detail)"
                    }
                default: return "\(claim) is \(agreement.state)"
                }
            }
            let ids = Set(home.alive[0].agreements.map(\.wish.id))
            for claim in relay.held.keys where claim.key == home.key && !ids.contains(claim.mapping) && !isLeased(claim)
            {
                return "ports held for no mapping: \(claim)"
            }
        }
        return nil
    }

    private func isLeased(_ claim: Claim) -> Bool { relay?.core.lease(of: claim) != nil }

    private func isTrue(_ reason: RefusalReason, _ wish: MappingWish, _ claim: Claim, _ grant: Grant) -> Bool {
        let places = policy.ports.usual.ports.compactMap { PortRange(first: $0, count: wish.ports.count) }
            .filter { policy.ports.contains($0) && grant.allows($0) }
        func isFree(_ range: PortRange) -> Bool {
            !range.ports.contains(where: busy.contains)
                && relay?.held.contains { other, bound in
                    other != claim && bound.overlaps(RelayBench.Bound(ports: range, protocols: wish.protocols))
                } != true
        }
        switch (reason, wish.ports) {
        case (.portLeased, .exactly(let ports)), (.portTaken, .exactly(let ports)): return !isFree(ports)
        case (.noPortFree, _): return !places.isEmpty && !places.contains(where: isFree)
        case (.notGranted, .exactly(let ports)): return !grant.allows(ports) || !grant.allows(wish.protocols)
        case (.notGranted, _): return places.isEmpty || !grant.allows(wish.protocols)
        case (.limitReached, _):
            let leased = relay?.core.standings.filter { entry in
                entry.lease.account == grant.membership
                    && Claim(key: entry.lease.key, mapping: entry.lease.mapping) != claim
            }.reduce(0) { $0 + $1.lease.ports.count }
            return (leased ?? 0) + wish.ports.count > grant.limits.leases ?? .max
        default: return false
        }
    }

    private func places() -> [String] {
        homes.flatMap { home in
            home.alive.flatMap(\.agreements).compactMap { agreement in
                guard case .active = agreement.stage else { return nil }
                return "\(home.key.short) \(agreement.wish.id): \(agreement.ports.map(\.description) ?? "")"
            }
        }.sorted()
    }

    // MARK: The relay

    private func startRelay() {
        guard relay == nil else { return }
        epoch += 1
        note("relay starts")
        let bench = RelayBench(policy, seed: number(), at: now, busy: busy, saved: disk)
        bench.savesAtOnce = false
        bench.signsReceipts = signsReceipts
        bench.onWelcome = { [unowned self] id in toPeer(id) { [self] link in welcomed(link) } }
        bench.onSend = { [unowned self] id, message in toPeer(id) { [self] link in received(message, link) } }
        bench.onEnd = { [unowned self] id, reason in
            note("relay ends \(id.value): \(reason)")
            toPeer(id) { [self] link in ended(link, reason) }
        }
        relay = bench
        bench.restore()
        afterRelay()
    }

    private func crashRelay() {
        guard let relay else { return }
        note("relay crashes")
        disk = relay.saved
        // What was on its way to the disk arrived or not.
        for lease in relay.saving where number(0...1) == 0 {
            disk[Claim(key: lease.key, mapping: lease.mapping)] = lease
        }
        self.relay = nil
        isSaving = false
        for link in links.values.sorted(by: { $0.id.value < $1.id.value }) { cut(link) }
        after(milliseconds(50...3_000)) { [self] in startRelay() }
    }

    func give(_ event: RelayCore.Event) {
        guard let relay else { return }
        relay.now = now
        let actions = relay.give(event)
        // Most events are pings, and change nothing.
        if actions.contains(where: { if case .pong? = $0.message { false } else { true } }) { afterRelay() }
    }

    /// The disk answers later; invariants hold now.
    private func afterRelay() {
        guard let relay else { return }
        if !isSaving, !relay.saving.isEmpty {
            isSaving = true
            let epoch = epoch
            after(milliseconds(0...50)) { [self] in
                guard self.epoch == epoch, let relay = self.relay else { return }
                relay.now = now
                isSaving = false
                relay.finishSaving()
                afterRelay()
            }
        }
        relay.checkInvariants()
        if let text = relay.violations.first { fail(text) }
    }
    private var isSaving = false

    private func tick() {
        give(.timePassed)
        for home in homes {
            for process in home.alive { if let link = process.link, link.isUp { toRelay(link, .ping(1)) } }
        }
        after(.seconds(2)) { [self] in tick() }
    }

    // MARK: The network and time

    func toRelay(_ link: Link, _ message: PeerMessage) {
        link.lastToRelay = max(link.lastToRelay, now + delay())
        queue.add(link.lastToRelay) { [self] in
            guard !link.isCut, link.epoch == epoch, relay?.sessions[link.id] != nil else { return }
            give(.received(link.id, message))
        }
    }

    private func toPeer(_ id: SessionID, _ arrive: @escaping (Link) -> Void) {
        guard let link = links[id] else { return }
        link.lastToPeer = max(link.lastToPeer, now + delay())
        queue.add(link.lastToPeer) {
            guard !link.isCut, link.process.isAlive, link.process.link === link else { return }
            arrive(link)
        }
    }

    func delay() -> Instant.Span {
        .microseconds(UInt64(number(0...9) == 0 ? number(100_000...900_000) : number(100...60_000)))
    }

    func after(_ span: Instant.Span, _ body: @escaping () -> Void) { queue.add(now + span, body) }

    private func advance(to end: Instant) {
        while violation == nil, let (instant, body) = queue.next(until: end) {
            now = instant
            steps += 1
            body()
        }
        now = end
    }

    func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(random.next() % UInt64(range.count))
    }

    func number() -> UInt64 { random.next() }
    func port() -> UInt16 { 2_000 + UInt16(number(0...47)) }
    func milliseconds(_ range: ClosedRange<Int>) -> Instant.Span { .milliseconds(UInt64(number(range))) }

    func note(_ text: @autoclosure () -> String) {
        guard Environment.seed != nil else { return }
        log.append("\(Double(now.nanoseconds / 1_000_000) / 1_000) s: \(text())")
    }

    func fail(_ text: String) {
        if violation == nil {
            violation =
                "seed \(seed), after \(Double(now.nanoseconds / 1_000_000) / 1_000) s and \(steps) steps: \(text)"
        }
    }
}
