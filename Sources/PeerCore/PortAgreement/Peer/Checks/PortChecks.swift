internal import PeerWire

/// The public ports of an active mapping, each by itself: whether the relay has it accept, and whether it was reached
/// from outside. No I/O, no clock. Ports are named by how many they are after the first one.
///
/// ```
/// closed ──target answers──▶ opening ──the relay says so──▶ due ──▶ checking ──passed──▶ verified, or reached
///    ▲                                                       ▲           │ failed            │ every two minutes
///    └────────── target is silent: from each ──              └───────────┴─▶ unreachable ◀───┘
/// ```
/// Checks of a mapping are made in turn, so many at a time as `CheckPace` says. Repetitions are spread evenly: the more
/// ports there are, the less often each is looked at again, but some are all the time.
public struct PortChecks: Sendable {
    public enum Stage: Hashable, Sendable {
        /// The target does not answer: the port refuses.
        case closed
        /// Nothing is known of the target yet: the port accepts, and there is nothing to say of it.
        case unknown
        /// The relay was told that the target answers; an older one says nothing to that, and is believed to accept.
        case opening(until: Instant)
        case due(failures: Int, at: Instant)
        case checking(failures: Int)
        /// A check may be under way again.
        case verified(by: [String], recheckAt: Instant)
        /// It works where this node's session stands; nobody has tried the host that visitors are told.
        case reached(at: String, recheckAt: Instant)
        case unreachable(reason: String, retryAt: Instant)

        /// A check came through, here or there.
        var isWorking: Bool {
            switch self {
            case .verified, .reached: true
            case .closed, .unknown, .opening, .due, .checking, .unreachable: false
            }
        }
    }

    /// So many ports are looked at again in `recheckVerified`, or in `retryUnreachable`.
    static let inTurn = 16
    static let quickChecks = 4
    static let checkPause = Instant.Span.milliseconds(200)
    static let retryUnreachable = Instant.Span.seconds(5)
    static let recheckVerified = Instant.Span.seconds(120)
    static let openingLimit = Instant.Span.milliseconds(500)

    public private(set) var stages: [Stage]
    /// Grows with everything that listings show of a port.
    private(set) var changes = 0
    /// Ports with a check on its way, or about to be made.
    private var underWay: Set<UInt16> = []
    private var pace = CheckPace()
    /// When the last of the ports is looked at again that are, and tried again.
    private var lastRecheck = Instant.zero
    private var lastRetry = Instant.zero

    /// The relay opens these ports; those whose target is silent refuse.
    init(count: Int, _ targets: TargetStates) {
        stages = (0..<count).map { offset in
            if targets.silent[UInt16(offset)] != nil { return .closed }
            return targets.answering.contains(UInt16(offset)) ? .opening(until: .zero) : .unknown
        }
    }

    var isChecking: Bool { !underWay.isEmpty }

    private mutating func set(_ offset: Int, _ stage: Stage) {
        if !stage.looks(like: stages[offset]) { changes += 1 }
        stages[offset] = stage
    }

    /// The least that has to be waited for; `nil` where nothing is due.
    var nextDeadline: Instant? {
        var next: Instant?
        for (offset, stage) in stages.enumerated() {
            let at: Instant
            switch stage {
            case .opening(let until): at = until
            case .due(_, let due): at = due
            case .verified(_, let recheckAt), .reached(_, let recheckAt): at = recheckAt
            case .unreachable(_, let retryAt): at = retryAt
            case .closed, .unknown, .checking: continue
            }
            // Its turn comes when another check is over.
            if underWay.count >= pace.limit || underWay.contains(UInt16(offset)) { continue }
            next = min(next ?? at, at)
        }
        return next
    }

    /// What is known of the targets has changed, and the relay is told.
    mutating func targetsChanged(_ targets: TargetStates, at now: Instant) {
        for offset in stages.indices {
            let answers = targets.answering.contains(UInt16(offset))
            switch (stages[offset], targets.silent[UInt16(offset)] != nil) {
            case (.closed, true): continue
            case (_, true): set(offset, .closed)
            case (.closed, false) where answers, (.unknown, false) where answers:
                set(offset, .opening(until: now + Self.openingLimit))
            case (_, false): continue
            }
        }
    }

    /// The relay says that the ports which it was told of accept.
    mutating func opened(at now: Instant) {
        for offset in stages.indices {
            if case .opening = stages[offset] { set(offset, .due(failures: 0, at: now)) }
        }
    }

    /// The checks that are to be made now: of which port, and after which pause.
    mutating func next(at now: Instant) -> [(offset: UInt16, after: Instant.Span)] {
        var wanted: [(offset: UInt16, after: Instant.Span)] = []
        // What was never looked at comes before what is looked at again.
        for isRepetition in [false, true] {
            for offset in stages.indices {
                guard underWay.count < pace.limit else { return wanted }
                guard !underWay.contains(UInt16(offset)) else { continue }
                switch stages[offset] {
                case .opening(let until) where !isRepetition && now >= until: set(offset, .checking(failures: 0))
                case .due(let failures, let at) where !isRepetition && now >= at:
                    set(offset, .checking(failures: failures))
                case .verified(_, let at) where isRepetition && now >= at,
                    .reached(_, let at) where isRepetition && now >= at,
                    .unreachable(_, let at) where isRepetition && now >= at:
                    break
                case .closed, .unknown, .opening, .due, .checking, .verified, .reached, .unreachable: continue
                }
                underWay.insert(UInt16(offset))
                wanted.append((UInt16(offset), .zero))
            }
        }
        return wanted
    }

    private mutating func nextRecheck(after now: Instant) -> Instant {
        lastRecheck = turn(of: stages.count, each: Self.recheckVerified, behind: lastRecheck, now)
        return lastRecheck
    }

    private mutating func nextRetry(after now: Instant) -> Instant {
        lastRetry = turn(of: unreachable + 1, each: Self.retryUnreachable, behind: lastRetry, now)
        return lastRetry
    }

    /// After `pause`, or where there are more than `inTurn`, behind the one that was given the last turn.
    private func turn(of count: Int, each pause: Instant.Span, behind last: Instant, _ now: Instant) -> Instant {
        let rounds = UInt64(max(1, (count + Self.inTurn - 1) / Self.inTurn))
        guard rounds > 1 else { return now + pause }
        let step = Instant.Span(nanoseconds: pause.nanoseconds / UInt64(Self.inTurn))
        return max(now + pause, min(last + step, now + pause * rounds))
    }

    /// Nothing of this mapping was reached yet, and something was tried long enough.
    private var isHopeless: Bool { unreachable > 0 && !stages.contains(where: \.isWorking) }

    private mutating func recheckAll(at now: Instant) {
        for offset in stages.indices {
            switch stages[offset] {
            case .verified(let by, _): set(offset, .verified(by: by, recheckAt: now))
            case .reached(let place, _): set(offset, .reached(at: place, recheckAt: now))
            case .closed, .unknown, .opening, .due, .checking, .unreachable: continue
            }
        }
    }

    private var unreachable: Int { stages.count { if case .unreachable = $0 { true } else { false } } }

    /// This node's own check came through; `place`: where it dialled, when that is not the host that visitors are told.
    /// `false` where nobody waits for that any more.
    mutating func passed(_ offset: UInt16, by verifier: String, elsewhere place: String?, at now: Instant) -> Bool {
        underWay.remove(offset)
        pace.answered()
        guard stages.indices.contains(Int(offset)) else { return false }
        var by: [String] = []
        switch stages[Int(offset)] {
        case .closed, .unknown, .opening: return false
        case .verified(let earlier, _): by = earlier
        case .unreachable:
            // The way is open again: it is worth looking at the others at once.
            lastRetry = now
            for other in stages.indices {
                if case .unreachable(let reason, _) = stages[other] {
                    set(other, .unreachable(reason: reason, retryAt: now))
                }
            }
        case .due, .checking, .reached: break
        }
        if let place, by.isEmpty {
            set(Int(offset), .reached(at: place, recheckAt: nextRecheck(after: now)))
            return true
        }
        if place == nil, !by.contains(verifier) { by.append(verifier) }
        set(Int(offset), .verified(by: by, recheckAt: nextRecheck(after: now)))
        return true
    }

    /// Another node has seen a port work, at the host that visitors are told, that works for this one as well.
    mutating func seen(_ offset: UInt16, by verifier: String) {
        guard stages.indices.contains(Int(offset)) else { return }
        switch stages[Int(offset)] {
        case .verified(let by, let at) where !by.contains(verifier):
            set(Int(offset), .verified(by: by + [verifier], recheckAt: at))
        case .reached(_, let at): set(Int(offset), .verified(by: [verifier], recheckAt: at))
        case .closed, .unknown, .opening, .due, .checking, .verified, .unreachable: return
        }
    }

    /// Another node does not see it any more.
    mutating func unseen(_ offset: UInt16, by verifier: String) {
        guard stages.indices.contains(Int(offset)), case .verified(let by, let at) = stages[Int(offset)], by.count > 1
        else { return }
        set(Int(offset), .verified(by: by.filter { $0 != verifier }, recheckAt: at))
    }

    /// The check did not come through; the result is the pause after which the port is to be checked once more.
    mutating func failed(_ offset: UInt16, _ reason: String, at now: Instant) -> Instant.Span? {
        underWay.remove(offset)
        pace.failed()
        guard stages.indices.contains(Int(offset)) else { return nil }
        let failures: Int
        switch stages[Int(offset)] {
        case .closed, .unknown, .opening: return nil
        case .due(let earlier, _), .checking(let earlier): failures = earlier + 1
        // What was reachable gets the benefit of the doubt of a few quick checks. Its neighbours may have gone with it.
        case .verified, .reached:
            set(Int(offset), .checking(failures: 1))
            if unreachable == 0 { recheckAll(at: now) }
            failures = 1
        case .unreachable: failures = Self.quickChecks
        }
        // Where one port cannot be reached, the next is not waited for as long.
        guard failures >= Self.quickChecks || failures > 1 && unreachable > 0 || isHopeless else {
            set(Int(offset), .checking(failures: failures))
            underWay.insert(offset)
            return Self.checkPause * UInt64(failures)
        }
        set(Int(offset), .unreachable(reason: reason, retryAt: nextRetry(after: now)))
        return nil
    }
}

extension PortChecks.Stage {
    var state: MappingState {
        switch self {
        case .closed: .targetDown
        case .unknown, .opening, .due, .checking, .reached: .active
        case .verified: .verified
        case .unreachable: .unreachable
        }
    }

    /// Whether listings show the same of both.
    func looks(like other: Self) -> Bool {
        switch (self, other) {
        case (.verified(let by, _), .verified(let others, _)): by == others
        case (.unreachable(let reason, _), .unreachable(let another, _)): reason == another
        case (.reached(let place, _), .reached(let another, _)): place == another
        default: state == other.state && isWorking == other.isWorking
        }
    }
}
