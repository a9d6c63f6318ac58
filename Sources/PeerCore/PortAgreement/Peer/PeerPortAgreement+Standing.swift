public import PeerWire

/// What listings and others hear of a mapping.
extension PeerPortAgreement {
    /// One port of an active mapping, for listings.
    public struct Standing: Hashable, Sendable {
        public var state: MappingState
        /// Why it is not better, in a few words; `nil` when there is nothing to say.
        public var reason: String?
        public var verifiedBy: [String]
        /// It was reached, though maybe not at the host that visitors are told.
        public var isWorking: Bool

        public init(state: MappingState, reason: String? = nil, verifiedBy: [String] = [], isWorking: Bool? = nil) {
            self.state = state
            self.reason = reason
            self.verifiedBy = verifiedBy
            self.isWorking = isWorking ?? (state == .verified)
        }
    }

    /// Of the whole: the best that one of its ports is in.
    public var state: MappingState {
        switch stage {
        case .offline: .offline
        case .requested: .requested
        case .checking: .bound
        case .committed: .committed
        case .refused: .refused
        case .active:
            Self.best.first { [stages] state in stages.contains { $0.state == state } } ?? .active
        }
    }

    private static let best: [MappingState] = [.verified, .active, .unreachable, .targetDown]

    /// Why it is not better than it is, in a few words; `nil` when there is nothing to say.
    public var reason: String? {
        switch stage {
        case .refused(_, let detail, _): detail
        case .active: standings.first { $0.state == state }?.reason
        case .offline: "no session to the relay"
        case .requested, .checking, .committed: nil
        }
    }

    /// Each port of an active mapping, in their order; none otherwise.
    public var standings: [Standing] {
        guard case .active = stage else { return [] }
        return stages.enumerated().map { offset, stage in
            switch stage {
            case .closed: Standing(state: .targetDown, reason: targets.silent[UInt16(offset)], verifiedBy: [])
            case .unknown, .opening, .due, .checking: Standing(state: .active, reason: nil, verifiedBy: [])
            case .verified(let by, _):
                Standing(state: .verified, reason: wish.isOnDemand ? Self.onDemand : nil, verifiedBy: by)
            case .reached(let place, _):
                Standing(state: .active, reason: untried(reachedAt: place), verifiedBy: [], isWorking: true)
            case .unreachable(let reason, _): Standing(state: .unreachable, reason: reason, verifiedBy: [])
            }
        }
    }

    private func untried(reachedAt place: String) -> String {
        "works at \(place), where this node reaches the relay; \(host ?? "the host") that "
            + "visitors are told was not tried"
    }

    private static let onDemand = "on demand: its target is dialled when a visitor comes"

    /// Why the first of the ports that nobody reaches is not; `nil` where there is none.
    public var firstUnreachable: String? {
        guard case .active = stage else { return nil }
        for case .unreachable(let reason, _) in stages { return reason }
        return nil
    }

    /// By how many ports the first one that works is after the first, and who verified it.
    public var firstWorking: (offset: UInt16, by: [String])? {
        guard case .active = stage, let offset = checks.stages.firstIndex(where: \.isWorking) else { return nil }
        if case .verified(let by, _) = checks.stages[offset] { return (UInt16(offset), by) }
        return (UInt16(offset), [])
    }

    /// The verified ports, neighbours as one range.
    public var verifiedPorts: [PortRange] {
        guard case .active = stage, let ports else { return [] }
        var runs: [PortRange] = []
        for (offset, stage) in stages.enumerated() {
            guard case .verified = stage else { continue }
            let port = ports.first + UInt16(offset)
            if let last = runs.last, last.last + 1 == port, let longer = PortRange(first: last.first, last: port) {
                runs[runs.count - 1] = longer
            } else if let alone = PortRange(first: port, last: port) {
                runs.append(alone)
            }
        }
        return runs
    }

    /// Whether the relay was asked for ports, and has not yet named any that both ends can have.
    public var isAboutToGetPorts: Bool {
        switch stage {
        case .requested, .checking: ports == nil
        case .offline, .committed, .active, .refused: false
        }
    }
}
