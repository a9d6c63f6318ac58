public import PeerWire

/// Who has a flow: an address at one of a mapping's ports. At a peer also the relay that it comes by.
public struct FlowVisitor: Hashable, Sendable {
    public let address: DatagramAddress
    /// By how many the port is after the mapping's first one.
    public let offset: UInt16
    /// The peer's number for a relay; 0 at a relay.
    public let relay: UInt16

    public init(_ address: DatagramAddress, at offset: UInt16, by relay: UInt16 = 0) {
        self.address = address
        self.offset = offset
        self.relay = relay
    }

    /// The host, which may have many flows.
    public var source: UInt64 { address.source }
}

/// The flows of one mapping: a visitor is an address that datagrams come from, and a flow is what it and the service
/// say to each other until both are silent. No I/O, no clock.
///
/// ```
/// opened ──the service answers──▶ answered ──the visitor speaks again──▶ confirmed
/// ```
/// An address costs nothing to forge, and whoever forges one does not hear the answer. So when the table is full those
/// give way that have not gone to and fro, the one idle longest first, and a confirmed one only when it was idle for a
/// while: a flood of made-up addresses turns over its own places. A host that answers may have many flows, and of those
/// a part of the table is confirmed at most, so that it keeps nobody else out. Each step is one or two look-ups.
public struct FlowTable: Sendable {
    public struct Limits: Hashable, Sendable {
        public var flows = 4_096
        /// Of one source, as a part of all places: flows that may be confirmed.
        public var confirmedPart = 4
        /// An idle flow ends after this while only the visitor has spoken.
        public var oneWay = Instant.Span.seconds(30)
        /// The same once the service has answered.
        public var bothWays = Instant.Span.seconds(180)
        /// A confirmed flow that was idle for less never gives way.
        public var kept = Instant.Span.seconds(10)

        public init() {}
    }

    /// A flow: its place, and how many had that place before. Whoever holds one of a flow that is over finds nothing.
    public struct ID: Hashable, Sendable {
        /// Of a place, and of a generation: together they are the number.
        public static var bits: Int { 20 }

        public let place: UInt32
        public let generation: UInt32

        init(place: UInt32, generation: UInt32) {
            self.place = place
            self.generation = generation
        }

        /// - Parameter number: its lowest 40 bits count.
        public init(number: UInt64) {
            let mask = UInt64(1) << Self.bits - 1
            place = UInt32(truncatingIfNeeded: number >> Self.bits & mask)
            generation = UInt32(truncatingIfNeeded: number & mask)
        }

        /// 40 bits.
        public var number: UInt64 { UInt64(place) << Self.bits | UInt64(generation) }
    }

    public enum Arrival: Hashable, Sendable {
        case known(ID)
        /// A new flow; another one may have given way to it.
        case opened(ID, inPlaceOf: ID?)
        /// All places have flows that are alive.
        case crowded
        /// The visitor is not let in.
        case refused
    }

    /// What was counted since the start.
    public struct Counts: Hashable, Sendable {
        public var opened: UInt64 = 0
        /// Flows that gave way to newcomers.
        public var displaced: UInt64 = 0
        public var crowded: UInt64 = 0
    }

    private enum Stage: UInt8, Sendable, CaseIterable { case opened, answered, confirmed, free }

    private static var none: UInt32 { .max }

    private struct Entry: Sendable {
        var visitor: FlowVisitor
        /// When either side spoke last.
        var last: Instant
        var generation: UInt32 = 0
        var stage: Stage
        /// Neighbours in the list of its stage, which goes from the one idle longest to the one heard last.
        var former: UInt32
        var next: UInt32
    }

    /// The ends of a list.
    private struct Line: Sendable {
        var first: UInt32 = .max
        var last: UInt32 = .max
    }

    public private(set) var limits: Limits
    public private(set) var counts = Counts()
    private var entries: [Entry] = []
    private var places: [FlowVisitor: UInt32] = [:]
    /// How many confirmed flows each source has.
    private var confirmed: [UInt64: Int] = [:]
    private var lines = [Line](repeating: Line(), count: Stage.allCases.count)

    public init(_ limits: Limits = Limits()) {
        self.limits = limits
        self.limits.flows = min(limits.flows, 1 << ID.bits - 1)
    }

    public var count: Int { places.count }

    /// When `expire` finds something, if nothing comes meanwhile.
    public var nextDeadline: Instant? {
        [Stage.opened, .answered, .confirmed].compactMap { stage in
            let first = lines[Int(stage.rawValue)].first
            return first == Self.none ? nil : entries[Int(first)].last + idleLimit(stage)
        }.min()
    }

    /// The visitor of a flow that is not over.
    public func visitor(of id: ID) -> FlowVisitor? {
        isThere(id) ? entries[Int(id.place)].visitor : nil
    }

    /// A datagram of a visitor came.
    ///
    /// - Parameter mayOpen: asked before a new flow takes a place.
    public mutating func spoke(
        _ visitor: FlowVisitor, at now: Instant, mayOpen: () -> Bool = { true }
    ) -> Arrival {
        if let place = places[visitor] {
            heard(place, at: now)
            return .known(id(of: place))
        }
        guard mayOpen() else { return .refused }
        guard let (place, displaced) = freePlace(for: visitor, at: now) else {
            counts.crowded += 1
            return .crowded
        }
        places[visitor] = place
        append(place, to: .opened, at: now)
        counts.opened += 1
        if displaced != nil { counts.displaced += 1 }
        return .opened(id(of: place), inPlaceOf: displaced)
    }

    /// The same of a flow that is known.
    public mutating func spoke(in id: ID, at now: Instant) {
        if isThere(id) { heard(id.place, at: now) }
    }

    /// The service said something in a flow.
    ///
    /// - Returns: to whom; `nil` where the flow is over.
    public mutating func answered(_ id: ID, at now: Instant) -> FlowVisitor? {
        guard isThere(id) else { return nil }
        let stage = entries[Int(id.place)].stage
        move(id.place, to: stage == .opened ? .answered : stage, at: now)
        return entries[Int(id.place)].visitor
    }

    /// A flow is over: its target is gone, or it is not to be served any more.
    public mutating func end(_ id: ID) {
        if isThere(id) { remove(id.place) }
    }

    /// All flows are over.
    public mutating func endAll() -> [ID] {
        let all = places.values.map { id(of: $0) }
        for id in all { remove(id.place) }
        return all
    }

    /// Ends the flows that were idle for too long.
    public mutating func expire(at now: Instant) -> [ID] {
        var ended: [ID] = []
        for stage in [Stage.opened, .answered, .confirmed] {
            while true {
                let first = lines[Int(stage.rawValue)].first
                guard first != Self.none, entries[Int(first)].last + idleLimit(stage) <= now else { break }
                ended.append(id(of: first))
                remove(first)
            }
        }
        return ended
    }

    // MARK: Places

    private mutating func heard(_ place: UInt32, at now: Instant) {
        let stage = entries[Int(place)].stage
        guard stage == .answered else { return move(place, to: stage, at: now) }
        let source = entries[Int(place)].visitor.source
        let others = confirmed[source] ?? 0
        guard others < max(1, limits.flows / max(1, limits.confirmedPart)) else {
            return move(place, to: .answered, at: now)
        }
        confirmed[source] = others + 1
        move(place, to: .confirmed, at: now)
    }

    private func idleLimit(_ stage: Stage) -> Instant.Span { stage == .opened ? limits.oneWay : limits.bothWays }

    private func id(of place: UInt32) -> ID { ID(place: place, generation: entries[Int(place)].generation) }

    private func isThere(_ id: ID) -> Bool {
        guard id.place < entries.count else { return false }
        let entry = entries[Int(id.place)]
        return entry.generation == id.generation && entry.stage != .free
    }

    /// A place that is in no list.
    private mutating func freePlace(for visitor: FlowVisitor, at now: Instant) -> (UInt32, displaced: ID?)? {
        var displaced: ID?
        var place = lines[Int(Stage.free.rawValue)].first
        if place == Self.none, entries.count < limits.flows {
            entries.append(Entry(visitor: visitor, last: now, stage: .free, former: Self.none, next: Self.none))
            return (UInt32(entries.count - 1), nil)
        }
        if place == Self.none {
            guard let loser = loser(at: now) else { return nil }
            displaced = id(of: loser)
            remove(loser)
            place = loser
        }
        unlink(place)
        entries[Int(place)].visitor = visitor
        return (place, displaced)
    }

    private func loser(at now: Instant) -> UInt32? {
        for stage in [Stage.opened, .answered] {
            let first = lines[Int(stage.rawValue)].first
            if first != Self.none { return first }
        }
        let first = lines[Int(Stage.confirmed.rawValue)].first
        guard first != Self.none, now - entries[Int(first)].last >= limits.kept else { return nil }
        return first
    }

    private mutating func remove(_ place: UInt32) {
        places[entries[Int(place)].visitor] = nil
        if entries[Int(place)].stage == .confirmed {
            let source = entries[Int(place)].visitor.source
            let others = (confirmed[source] ?? 1) - 1
            confirmed[source] = others == 0 ? nil : others
        }
        unlink(place)
        entries[Int(place)].generation = (entries[Int(place)].generation + 1) & (1 << ID.bits - 1)
        append(place, to: .free, at: entries[Int(place)].last)
    }

    // MARK: Lists

    private mutating func move(_ place: UInt32, to stage: Stage, at now: Instant) {
        unlink(place)
        append(place, to: stage, at: now)
    }

    private mutating func append(_ place: UInt32, to stage: Stage, at now: Instant) {
        let last = lines[Int(stage.rawValue)].last
        entries[Int(place)].last = now
        entries[Int(place)].stage = stage
        entries[Int(place)].former = last
        entries[Int(place)].next = Self.none
        if last == Self.none {
            lines[Int(stage.rawValue)].first = place
        } else {
            entries[Int(last)].next = place
        }
        lines[Int(stage.rawValue)].last = place
    }

    private mutating func unlink(_ place: UInt32) {
        let entry = entries[Int(place)]
        let line = Int(entry.stage.rawValue)
        if entry.former == Self.none {
            lines[line].first = entry.next
        } else {
            entries[Int(entry.former)].next = entry.next
        }
        if entry.next == Self.none {
            lines[line].last = entry.former
        } else {
            entries[Int(entry.next)].former = entry.former
        }
    }
}
