/// What became of a mapping at one relay, as far as visitors are concerned.
public enum MappingOutcome: Hashable, Sendable {
    /// Nobody is to be served: the target is down, or nothing is known of it.
    case idle
    /// It was asked for, and nobody has reached it yet.
    case pending
    case works
    case fails(Failure)

    public enum Failure: Hashable, Sendable {
        /// Its public ports, or some of them, cannot be reached.
        case unreachable
        /// The relay gives no port for it.
        case refused
        /// The relay's session stands, and none of its data channels does (`ChannelTrouble`).
        case carriesNothing
    }
}

/// What visitors get at one relay: its mappings, counted.
public struct RelayOutcome: Hashable, Sendable {
    public private(set) var pending = 0
    public private(set) var working = 0
    /// Of those that fail, what is worst.
    public private(set) var failure: MappingOutcome.Failure?

    /// - Parameter carriesNothing: no visitor gets through, whatever was reached before.
    public init(_ mappings: some Sequence<MappingOutcome> = [], carriesNothing: Bool = false) {
        for mapping in mappings {
            switch mapping {
            case .idle: break
            case .pending: pending += 1
            case .works: working += 1
            case .fails(.unreachable): failure = .unreachable
            case .fails(let other): failure = failure ?? other
            }
        }
        guard carriesNothing, pending + working > 0 || failure != nil else { return }
        (pending, working, failure) = (0, 0, .carriesNothing)
    }

    /// Nothing that is to be served is left open.
    var isProven: Bool { failure == nil && (working > 0 || pending == 0) }
}

extension PeerPortAgreement {
    /// What visitors get of it.
    public var outcome: MappingOutcome {
        switch stage {
        case .offline, .requested, .checking, .committed: .pending
        case .refused: .fails(.refused)
        case .active: Self.outcome(of: stages)
        }
    }

    /// A range that is reached at some ports is about to be at the others, unless one of them shows that it is not.
    private static func outcome(of stages: [PortChecks.Stage]) -> MappingOutcome {
        var outcome = MappingOutcome.idle
        for stage in stages {
            switch stage {
            case .closed, .unknown: break
            case .unreachable: return .fails(.unreachable)
            case .opening, .due, .checking: if outcome == .idle { outcome = .pending }
            case .verified, .reached: outcome = .works
            }
        }
        return outcome
    }
}
