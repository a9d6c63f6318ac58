import PeerCore
import PeerWire

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
    private var random: SeededGenerator
    private(set) var now = Instant.zero
    private(set) var violation: String?
    private var queue = EventQueue()
    private var isRough = true
    private var didDiskFail = false
    /// Signatures take a hundred times as long as all the rest of a run.
    private let signsReceipts: Bool

    private let policy: RelayCore.Policy
    private var relay: RelayBench?
    private var epoch = 0
    private var disk: [Claim: Lease] = [:]
    private var busy: Set<UInt16> = []
    private var homes: [Home] = []
    private var links: [SessionID: Link] = [:]
    private var nextNumber: UInt64 = 1
    /// Last words, for a failure.
    private(set) var log: [String] = []
    private(set) var steps = 0

    private final class Home {
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
    private final class Process {
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

    private final class Link {
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

    private func give(_ event: RelayCore.Event) {
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

    // MARK: Processes

    private func startProcess(_ home: Home) {
        // Every other process has a clock that is a day ahead.
        let clock = Int64(home.processes.count % 2 * 86_400_000_000_000) + Int64(now.nanoseconds)
        home.lastStart = ProcessStart.number(after: home.lastStart, clock: clock)
        let process = Process(
            home: home, start: ProcessStart(number: home.lastStart, instance: ProcessInstance(using: &random)))
        note("process of \(home.key.short) starts")
        home.processes.append(process)
        for wish in home.wishes { add(wish, process) }
        connect(process)
    }

    private func add(_ wish: MappingWish, _ process: Process) {
        process.agreements.append(
            PeerPortAgreement(wish: wish, targetText: "target", remembered: process.home.remembered[wish.id]))
        handle(.targets(.answering(wish.ports.count)), wish.id, process)
    }

    private func crash(_ process: Process) {
        note("process of \(process.home.key.short) crashes")
        process.isAlive = false
        if let link = process.link { cut(link) }
        process.link = nil
        after(milliseconds(100...3_000)) { [self] in
            if process.home.alive.isEmpty { startProcess(process.home) }
        }
    }

    private func connect(_ process: Process) {
        guard process.isAlive, process.link == nil else { return }
        guard relay != nil else { return after(milliseconds(50...1_000)) { [self] in connect(process) } }
        let link = Link(id: .number(number()), process: process, epoch: epoch)
        process.link = link
        links[link.id] = link
        let introduction = PeerMessage.Introduction(
            instance: process.start.instance, name: "peer", dialled: "relay", software: "test",
            began: process.start.number)
        after(delay()) { [self] in
            guard !link.isCut, link.epoch == epoch, relay != nil else { return }
            note("session \(link.id.value) of \(process.home.key.short) is proven")
            give(
                .sessionProven(
                    link.id, key: process.home.key, introduction: introduction, grant: process.home.grant))
        }
    }

    /// The way is gone; each end finds out in its own time, or by silence.
    private func cut(_ link: Link) {
        guard !link.isCut else { return }
        note("session \(link.id.value) is cut")
        link.isCut = true
        after(milliseconds(0...5_000)) { [self] in lost(link) }
        guard number(0...1) == 0 else { return }
        after(delay()) { [self] in
            guard link.epoch == epoch, relay?.sessions[link.id] != nil else { return }
            give(.sessionEnded(link.id))
        }
    }

    private func lost(_ link: Link) {
        links[link.id] = nil
        let process = link.process
        guard process.isAlive, process.link === link else { return }
        process.link = nil
        for agreement in process.agreements { handle(.sessionLost, agreement.wish.id, process) }
        after(milliseconds(50...1_000)) { [self] in connect(process) }
    }

    private func ended(_ link: Link, _ reason: CloseReason) {
        link.isCut = true
        if reason == .protocolBreach { fail("a peer of ours is said to break the protocol") }
        guard reason == .superseded else { return lost(link) }
        note("process of \(link.process.home.key.short) stops: superseded")
        if link.process.start.number == link.process.home.lastStart { fail("the last process of a home is superseded") }
        links[link.id] = nil
        link.process.isAlive = false
        link.process.link = nil
        // The process that took over may be gone by then; what is fenced stays fenced, so somebody starts a new one.
        let home = link.process.home
        after(milliseconds(500...3_000)) { [self] in if home.alive.isEmpty { startProcess(home) } }
    }

    private func welcomed(_ link: Link) {
        link.isUp = true
        for agreement in link.process.agreements { handle(.sessionReady, agreement.wish.id, link.process) }
    }

    private func received(_ message: RelayMessage, _ link: Link) {
        switch message {
        case .offer(let offer): handle(.offered(offer), offer.mapping, link.process)
        case .active(let mapping, let attempt, let host):
            handle(.activated(attempt: attempt, host: host), mapping, link.process)
        case .refusal(let mapping, let reason, let detail):
            handle(.refused(reason, detail: detail), mapping, link.process)
        case .receipt(let draft):
            let peer = link.process.home.key
            handle(
                .receiptOffered(draft, relay: RelayBench.identity.key, peer: peer), draft.terms.mapping, link.process)
        default: break
        }
    }

    private func handle(_ event: PeerPortAgreement.Event, _ id: MappingID, _ process: Process) {
        guard process.isAlive, let index = process.agreements.firstIndex(where: { $0.wish.id == id }) else { return }
        for action in process.agreements[index].handle(event, at: now) { perform(action, id, process) }
        guard let deadline = process.agreements.first(where: { $0.wish.id == id })?.nextDeadline,
            process.wakes[id] != deadline
        else { return }
        process.wakes[id] = deadline
        queue.add(deadline) { [self] in
            process.wakes[id] = nil
            handle(.timePassed, id, process)
        }
    }

    private func perform(_ action: PeerPortAgreement.Action, _ id: MappingID, _ process: Process) {
        switch action {
        case .send(let message): process.link.map { toRelay($0, message) }
        case .bindOwnPort: handle(isRough && number(0...3) == 0 ? .ownPortTaken : .ownPortBound, id, process)
        case .remember(let ports): process.home.remembered[id] = ports
        case .check(_, let port, let offset, let pause):
            let link = process.link
            after(pause + delay()) { [self] in
                guard let link, process.link === link else { return }
                let claim = Claim(key: process.home.key, mapping: id)
                let isOpen =
                    !link.isCut && relay?.listening[claim] == link.id
                    && relay?.held[claim]?.ports.first == port - offset
                    && relay?.refusing[claim, default: []].contains(offset) != true
                handle(
                    isOpen ? .checkPassed(offset, by: "this node") : .checkFailed(offset, reason: "refused"), id,
                    process)
            }
        case .countersign(let draft):
            let receipt = draft.countersigned(byPeer: process.home.identity)
            process.home.receipts[id] = receipt
            process.link.map { toRelay($0, .receiptSigned(id, signature: receipt.peerSignature)) }
        case .object(let objection): fail("\(process.home.key.short) objects to a receipt: \(objection)")
        case .freeOwnPort, .changed: break
        }
    }

    private func silence(_ process: Process) {
        guard let wish = process.agreements.first?.wish, wish.isWatched else { return }
        // Some of its ports, or all.
        let all = TargetStates.answering(wish.ports.count)
        var some = TargetStates()
        for offset in all.answering.sorted() {
            if number(0...1) == 0 { some.answering.insert(offset) } else { some.silent[offset] = "silent" }
        }
        handle(.targets(some), wish.id, process)
        after(milliseconds(10...3_000)) { [self] in handle(.targets(all), wish.id, process) }
    }

    private func unmap(_ process: Process) {
        guard process.agreements.count > 1, process.home.alive.count == 1, let link = process.link, link.isUp else {
            return
        }
        let id = process.agreements.removeFirst().wish.id
        process.home.wishes.removeAll { $0.id == id }
        toRelay(link, .release(id))
    }

    private func map(_ process: Process) {
        guard process.home.wishes.count < 3, process.home.alive.count == 1 else { return }
        let wish = makeWish()
        process.home.wishes.append(wish)
        add(wish, process)
        if process.link?.isUp == true { handle(.sessionReady, wish.id, process) }
    }

    /// As no peer of ours does: asks again for what it has.
    private func repeatRequest(_ link: Link) {
        guard link.isUp, let agreement = link.process.agreements.first else { return }
        guard case .active = agreement.stage else { return }
        handle(.sessionReady, agreement.wish.id, link.process)
    }

    /// Half are members by the mesh key, from two networks; the others have a token each.
    private func makeGrant() -> Grant {
        guard number(0...1) == 0 else { return Grant(membership: .mesh(network: "\(number(1...2))")) }
        let first = 2_000 + UInt16(number(0...23))
        let ports = [
            PortRange(first: first, count: number(1...12))!, PortRange(first: first + 14, count: number(1...20))!,
        ]
        return .token(
            "\(number())", ports: number(0...2) == 0 ? nil : ports, protocols: number(0...3) == 0 ? .tcp : nil,
            limits: Grant.Limits(leases: number(0...1) == 0 ? nil : number(1...6)))
    }

    private func makeWish() -> MappingWish {
        let ports: PortWish =
            switch number(0...3) {
            case 0: .exactly(.only(port()))
            case 1: .preferably(PortRange(first: 2_000 + UInt16(number(0...44)), count: number(1...3))!)
            default: .any(count: number(1...3))
            }
        return MappingWish(
            id: .number(number()), target: number(0...2) == 0 ? .serverPort : .service(host: "127.0.0.1", port: 80),
            protocols: number(0...4) == 0 ? [.tcp, .udp] : .tcp, ports: ports)
    }

    // MARK: The network and time

    private func toRelay(_ link: Link, _ message: PeerMessage) {
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

    private func delay() -> Instant.Span {
        .microseconds(UInt64(number(0...9) == 0 ? number(100_000...900_000) : number(100...60_000)))
    }

    private func after(_ span: Instant.Span, _ body: @escaping () -> Void) { queue.add(now + span, body) }

    private func advance(to end: Instant) {
        while violation == nil, let (instant, body) = queue.next(until: end) {
            now = instant
            steps += 1
            body()
        }
        now = end
    }

    private func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(random.next() % UInt64(range.count))
    }

    private func number() -> UInt64 { random.next() }
    private func port() -> UInt16 { 2_000 + UInt16(number(0...47)) }
    private func milliseconds(_ range: ClosedRange<Int>) -> Instant.Span { .milliseconds(UInt64(number(range))) }

    private func note(_ text: @autoclosure () -> String) {
        guard Environment.seed != nil else { return }
        log.append("\(Double(now.nanoseconds / 1_000_000) / 1_000) s: \(text())")
    }

    private func fail(_ text: String) {
        if violation == nil {
            violation =
                "seed \(seed), after \(Double(now.nanoseconds / 1_000_000) / 1_000) s and \(steps) steps: \(text)"
        }
    }
}
