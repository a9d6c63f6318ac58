import PeerCore
import PeerWire
import SimulationSupport

/// Peers' processes: they start, connect, agree on ports, and crash.
extension Simulation {
    func startProcess(_ home: Home) {
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

    func add(_ wish: MappingWish, _ process: Process) {
        process.agreements.append(
            PeerPortAgreement(wish: wish, targetText: "target", remembered: process.home.remembered[wish.id]))
        handle(.targets(.answering(wish.ports.count)), wish.id, process)
    }

    func crash(_ process: Process) {
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
    func cut(_ link: Link) {
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

    func lost(_ link: Link) {
        links[link.id] = nil
        let process = link.process
        guard process.isAlive, process.link === link else { return }
        process.link = nil
        for agreement in process.agreements { handle(.sessionLost, agreement.wish.id, process) }
        after(milliseconds(50...1_000)) { [self] in connect(process) }
    }

    func ended(_ link: Link, _ reason: CloseReason) {
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

    func welcomed(_ link: Link) {
        link.isUp = true
        for agreement in link.process.agreements { handle(.sessionReady, agreement.wish.id, link.process) }
    }

    func received(_ message: RelayMessage, _ link: Link) {
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

    func handle(_ event: PeerPortAgreement.Event, _ id: MappingID, _ process: Process) {
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

    func silence(_ process: Process) {
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

    func unmap(_ process: Process) {
        guard process.agreements.count > 1, process.home.alive.count == 1, let link = process.link, link.isUp else {
            return
        }
        let id = process.agreements.removeFirst().wish.id
        process.home.wishes.removeAll { $0.id == id }
        toRelay(link, .release(id))
    }

    func map(_ process: Process) {
        guard process.home.wishes.count < 3, process.home.alive.count == 1 else { return }
        let wish = makeWish()
        process.home.wishes.append(wish)
        add(wish, process)
        if process.link?.isUp == true { handle(.sessionReady, wish.id, process) }
    }

    /// As no peer of ours does: asks again for what it has.
    func repeatRequest(_ link: Link) {
        guard link.isUp, let agreement = link.process.agreements.first else { return }
        guard case .active = agreement.stage else { return }
        handle(.sessionReady, agreement.wish.id, link.process)
    }

    /// Half are members by the mesh key, from two networks; the others have a token each.
    func makeGrant() -> Grant {
        guard number(0...1) == 0 else { return Grant(membership: .mesh(network: "\(number(1...2))")) }
        let first = 2_000 + UInt16(number(0...23))
        let ports = [
            PortRange(first: first, count: number(1...12))!, PortRange(first: first + 14, count: number(1...20))!,
        ]
        return .token(
            "\(number())", ports: number(0...2) == 0 ? nil : ports, protocols: number(0...3) == 0 ? .tcp : nil,
            limits: Grant.Limits(leases: number(0...1) == 0 ? nil : number(1...6)))
    }

    func makeWish() -> MappingWish {
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
}
