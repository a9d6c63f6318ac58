import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// What a relay's shell does, without sockets: carries out the core's actions on pretended ports and a pretended disk,
/// and watches that nothing impossible is asked for.
final class RelayBench {
    struct Bound: Hashable {
        var ports: PortRange
        var protocols: TransportProtocols

        func overlaps(_ other: Bound) -> Bool {
            ports.overlaps(other.ports) && !protocols.isDisjoint(with: other.protocols)
        }
    }

    /// The relay's own.
    static let identity = NodeIdentity(seed: .seed(1))!

    private(set) var core: RelayCore
    var now: Instant
    /// Seconds by which the wall clock is wrong.
    var error: Int64 = 0
    var wall: WallTime { WallTime(seconds: WallTime.start.seconds + Int64(now.nanoseconds / 1_000_000_000) + error) }
    /// Ports that something else on the machine uses.
    var busy: Set<UInt16>
    /// What something else has for UDP alone.
    var busyForDatagrams: Set<UInt16> = []
    private(set) var held: [Claim: Bound] = [:]
    private var bound: [UInt16: TransportProtocols] = [:]
    private var isRestoring = false
    /// Ports that an account had when its limit was set, by a renewed grant or a restart: those stay.
    private var brought: [Grant.Membership: Int] = [:]
    /// Whether the last event said what time it is: grants expire then, not before.
    private var didTick = false
    private(set) var listening: [Claim: SessionID] = [:]
    /// Whom each port lets in that listens, or did last.
    private(set) var filters: [Claim: NetworkFilter] = [:]
    /// What the disk has.
    var saved: [Claim: Lease]
    /// Leases on their way to the disk; the oldest first.
    private(set) var saving: [Lease] = []
    /// Otherwise `finishSaving` does it.
    var savesAtOnce = true
    var isDiskBroken = false
    var signsReceipts = true
    private(set) var sessions: [SessionID: NodeKey] = [:]
    /// What each session may do, as the test said.
    private(set) var grants: [SessionID: Grant] = [:]
    /// Claims with an offer that waits for its answer.
    private(set) var offered: Set<Claim> = []
    /// Restored leases whose port something else had.
    private(set) var unheld: Set<Claim> = []
    /// Keys that were handed over, as the disk has it.
    private(set) var retired: [Retirement] = []
    var violations: [String] = []
    /// All that was done since `take`.
    private var done: [RelayCore.Action] = []

    var onSend: (SessionID, RelayMessage) -> Void = { _, _ in }
    var onWelcome: (SessionID) -> Void = { _ in }
    var onEnd: (SessionID, CloseReason) -> Void = { _, _ in }

    /// The system gives no descriptors for ports.
    var isShort = false

    init(
        _ policy: RelayCore.Policy, seed: UInt64 = 1, at now: Instant = .zero, busy: Set<UInt16> = [],
        saved: [Claim: Lease] = [:]
    ) {
        core = RelayCore(policy: policy, seed: seed)
        self.now = now
        self.busy = busy
        self.saved = saved
    }

    /// Takes over what the disk has.
    func restore() {
        let leases = saved.values.sorted { ($0.ports.first, $0.mapping.value) < ($1.ports.first, $1.mapping.value) }
        isRestoring = true
        perform(core.restore(leases, at: wall))
        isRestoring = false
        for account in Set(leases.compactMap(\.account)) { brought[account] = portsLeased(to: account) }
    }

    @discardableResult
    func give(_ event: RelayCore.Event) -> [RelayCore.Action] {
        done = []
        if case .timePassed = event { didTick = true } else { didTick = false }
        if case .sessionProven(let id, let key, _, let grant, _) = event {
            sessions[id] = key
            grants[id] = grant
        }
        if case .grantRenewed(let id, let grant) = event, sessions[id] != nil { grants[id] = grant }
        if case .sessionEnded(let id) = event { sessions[id] = nil }
        perform(core.handle(event, at: now, wall: wall))
        if case .grantRenewed(_, let grant) = event { brought[grant.membership] = portsLeased(to: grant.membership) }
        if savesAtOnce { while !saving.isEmpty { finishSaving() } }
        return done
    }

    /// Reads a frame of the session, as far as it is due; otherwise how long that takes.
    func readFrame(of id: SessionID) -> Instant.Span? {
        if let span = core.wait(for: id, at: now) { return span }
        core.countFrame(of: id, at: now)
        return nil
    }

    /// The disk answers for the oldest lease that is on its way.
    func finishSaving() {
        guard !saving.isEmpty else { return }
        let lease = saving.removeFirst()
        let claim = Claim(key: lease.key, mapping: lease.mapping)
        if !isDiskBroken { saved[claim] = lease }
        perform(core.handle(.leaseSaved(claim, succeeded: !isDiskBroken), at: now, wall: wall))
    }

    /// Ports that do not accept though others of their claim do.
    private(set) var refusing: [Claim: Set<UInt16>] = [:]

    private func perform(_ actions: [RelayCore.Action]) {
        var queue = actions[...]
        while let action = queue.popFirst() {
            done.append(action)
            if let event = perform(action) { queue += core.handle(event, at: now, wall: wall) }
        }
    }

    private func perform(_ action: RelayCore.Action) -> RelayCore.Event? {
        switch action {
        case .welcome(let id): onWelcome(id)
        case .send(let id, let message): send(id, message)
        case .end(let id, let reason, _):
            sessions[id] = nil
            onEnd(id, reason)
        case .hold(let claim, let ports, let protocols): return hold(claim, Bound(ports: ports, protocols: protocols))
        case .listen(let claim, _, _, let only?) where listening[claim] != nil:
            expect(only.isSubset(of: refusing[claim, default: []]), "listen twice on one port: \(claim)")
            refusing[claim, default: []].subtract(only)
        case .pause(let claim, let only?):
            expect(listening[claim] != nil, "pause of what does not listen: \(claim)")
            expect(only.isDisjoint(with: refusing[claim, default: []]), "pause twice of one port: \(claim)")
            refusing[claim, default: []].formUnion(only)
        case .listen(let claim, let id, let filter, let only):
            filters[claim] = filter
            let all = Set((0..<UInt16(held[claim]?.ports.count ?? 0)))
            refusing[claim] = only.map { all.subtracting($0) } ?? []
            expect(held[claim] != nil, "listen without hold: \(claim)")
            expect(sessions[id] == claim.key, "listen for a session of another key: \(claim)")
            expect(listening[claim] == nil, "listen twice: \(claim)")
            listening[claim] = id
        case .pause(let claim, nil), .pauseGently(let claim):
            expect(listening[claim] != nil, "pause of what does not listen: \(claim)")
            listening[claim] = nil
        case .free(let claim):
            expect(held[claim] != nil, "free of what is not held: \(claim)")
            unbind(claim)
            listening[claim] = nil
            offered.remove(claim)
        case .saveLease(let lease): saving.append(lease)
        case .removeLease(let claim):
            // The store keeps the order of the calls.
            saving.removeAll { $0.key == claim.key && $0.mapping == claim.mapping }
            saved[claim] = nil
            unheld.remove(claim)
        case .draftReceipt where !signsReceipts: break
        case .draftReceipt(let claim, let id, let lease, let grant, let host):
            expect(saved[claim] != nil, "a receipt for a lease that is not written down: \(claim)")
            let terms = Receipt.Terms(lease: lease, grant: grant, relay: Self.identity.key, host: host, now: wall)
            return (terms?.signed(byRelay: Self.identity)).map { .receiptDrafted(claim, id, $0) }
        case .rename(let former, let claim):
            expect(held[former] != nil && held[claim] == nil, "renames what is not held: \(former)")
            expect(listening[former] == nil, "renames what listens: \(former)")
            held[claim] = held.removeValue(forKey: former)
        case .retire(let retirement): retired.append(retirement)
        case .forgetRetired(let former, _):
            expect(retired.contains { $0.former == former }, "forgets what it never wrote down: \(former)")
            retired.removeAll { $0.former == former }
        case .check, .abortVisitors, .clockJumped: break
        }
        return nil
    }

    private func hold(_ claim: Claim, _ wanted: Bound) -> RelayCore.Event {
        expect(held[claim] == nil, "hold twice: \(claim)")
        let isBusy = { [busy, busyForDatagrams] (port: UInt16) in
            busy.contains(port) || wanted.protocols.contains(.udp) && busyForDatagrams.contains(port)
        }
        if let taken = wanted.ports.ports.first(where: { isBusy($0) || isBound($0, wanted.protocols) }) {
            if isRestoring { unheld.insert(claim) }
            return .portsBusy(claim, wanted.ports, taken: taken)
        }
        if isShort {
            if isRestoring { unheld.insert(claim) }
            return .portsShort(claim)
        }
        unheld.remove(claim)
        bind(claim, wanted)
        return .portsHeld(claim, wanted.ports)
    }

    private func isBound(_ port: UInt16, _ protocols: TransportProtocols) -> Bool {
        !(bound[port] ?? []).isDisjoint(with: protocols)
    }

    private func bind(_ claim: Claim, _ wanted: Bound) {
        held[claim] = wanted
        for port in wanted.ports.ports { bound[port, default: []].formUnion(wanted.protocols) }
    }

    private func unbind(_ claim: Claim) {
        guard let former = held.removeValue(forKey: claim) else { return }
        for port in former.ports.ports { bound[port]?.subtract(former.protocols) }
    }

    private func send(_ id: SessionID, _ message: RelayMessage) {
        guard let key = sessions[id] else { return violations.append("a word to a session that is gone: \(message)") }
        switch message {
        case .offer(let offer):
            let claim = Claim(key: key, mapping: offer.mapping)
            expect(held[claim]?.ports == offer.ports, "offers what it does not hold: \(offer)")
            expect(listening[claim] == nil, "listens on what it only offers: \(offer)")
            offered.insert(claim)
        case .active(let mapping, _, _):
            let claim = Claim(key: key, mapping: mapping)
            // Where the peer says that none of its ports is to accept, none does.
            let isPaused = core.standings.contains {
                $0.lease.key == key && $0.lease.mapping == mapping && $0.stage == .paused
            }
            expect(
                held[claim] != nil && (listening[claim] == id || isPaused), "active, but it does not listen: \(claim)")
            expect(saved[claim] != nil, "active, but the lease is not written down: \(claim)")
        default: break
        }
        onSend(id, message)
    }

    /// What must hold between any two events.
    func checkInvariants() {
        var standing: [Claim: RelayCore.Standing] = [:]
        for entry in core.standings { standing[Claim(key: entry.lease.key, mapping: entry.lease.mapping)] = entry }
        let all = Array(held)
        for index in all.indices {
            for other in all[(index + 1)...] where all[index].value.overlaps(other.value) {
                violations.append("two claims hold a port: \(all[index]) and \(other)")
            }
        }
        let leases = standing.map { ($0.key, Bound(ports: $0.value.lease.ports, protocols: $0.value.lease.protocols)) }
        for index in leases.indices {
            for other in leases[(index + 1)...] where leases[index].1.overlaps(other.1) {
                violations.append("two claims have a port leased: \(leases[index]) and \(other)")
            }
        }
        for (claim, id) in listening {
            expect(sessions[id] == claim.key && core.session(id) != nil, "listens without a live session: \(claim)")
            expect(
                standing[claim]?.stage == .active,
                "listens, but stands at \(String(describing: standing[claim]?.stage))")
            expect(held[claim]?.ports == standing[claim]?.lease.ports, "listens on other ports than leased: \(claim)")
        }
        for (claim, entry) in standing {
            let isHeld = held[claim]?.ports == entry.lease.ports || unheld.contains(claim)
            expect(isHeld, "a lease without its ports: \(claim) \(entry.lease.ports)")
        }
        for claim in held.keys where standing[claim] == nil {
            expect(offered.contains(claim), "ports held for nobody: \(claim)")
        }
        checkGrants(standing)
        expect(core.sessionCount == sessions.count, "\(core.sessionCount) sessions, but \(sessions.count) streams")
    }

    /// Nobody has more than what let him in allows; counted anew here, from what listings show.
    private func checkGrants(_ standing: [Claim: RelayCore.Standing]) {
        var keys: [Grant.Membership: Set<NodeKey>] = [:]
        for (id, key) in sessions { if let grant = grants[id] { keys[grant.membership, default: []].insert(key) } }
        for (claim, entry) in standing {
            guard let id = listening[claim], let grant = grants[id] else { continue }
            expect(grant.allows(entry.lease.ports), "listens on ports that its grant does not have: \(claim)")
            expect(grant.allows(entry.lease.protocols), "carries what its grant does not have: \(claim)")
            expect(entry.lease.account == grant.membership, "listens on another's account: \(claim)")
        }
        for id in sessions.keys {
            guard let grant = grants[id] else { continue }
            let limits = core.policy.limits(of: grant)
            expect(grant.expires.map { $0 > wall || !didTick } ?? true, "a session with an expired grant: \(id)")
            expect(keys[grant.membership, default: []].count <= limits.keys ?? .max, "too many keys: \(grant)")
            let most = max(limits.leases ?? .max, brought[grant.membership] ?? 0)
            expect(portsLeased(to: grant.membership) <= most, "too many ports: \(grant)")
        }
    }

    private func portsLeased(to account: Grant.Membership) -> Int {
        let leases = core.standings.map(\.lease).filter { $0.account == account }
        let all = leases.reduce(0) { $0 + $1.ports.count }
        // One port of a token is not counted.
        guard case .token = account else { return all }
        return all - (leases.contains { $0.target == HostText.serverPort && $0.ports.count == 1 } ? 1 : 0)
    }

    private func expect(_ condition: Bool, _ text: @autoclosure () -> String) {
        if !condition { violations.append(text()) }
    }
}

extension RelayCore {
    func lease(of claim: Claim) -> Lease? {
        standings.first { $0.lease.key == claim.key && $0.lease.mapping == claim.mapping }?.lease
    }

    func standing(of claim: Claim) -> Standing? {
        standings.first { $0.lease.key == claim.key && $0.lease.mapping == claim.mapping }
    }
}

extension RelayCore.Action {
    /// The message, if it is one for a peer.
    var message: RelayMessage? { if case .send(_, let message) = self { message } else { nil } }

    /// Whether it only brings a receipt on its way.
    var isAboutReceipt: Bool {
        switch self {
        case .draftReceipt, .send(_, .receipt): true
        default: false
        }
    }
}
