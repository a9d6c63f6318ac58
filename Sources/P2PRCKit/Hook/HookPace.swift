internal import PeerCore

/// How often the hook runs: at most once in ten seconds, whatever a relay does; but at once where an address that was
/// published is gone, unless that happened in the same span before. Where relays fail one after the other, so that
/// nothing is left of what was told of a mapping, it runs at once for that as well. No I/O, no clock.
struct HookPace: Sendable {
    /// What is no longer there of the addresses that were told last.
    enum Loss: Sendable {
        case nothing
        case some
        /// Of a mapping all.
        case all
    }

    static let pause = Instant.Span.seconds(10)

    private var last: Instant?
    private var lastSome: Instant?
    private var lastAll: Instant?

    /// How long a change has to wait; while it does, the latest one counts.
    func wait(_ loss: Loss, at now: Instant) -> Instant.Span {
        guard let last, now < last + Self.pause else { return .zero }
        let isUrgent =
            switch loss {
            case .nothing: false
            case .some: isOver(lastSome, now)
            case .all: isOver(lastAll, now) || isOver(lastSome, now)
            }
        return isUrgent ? .zero : last + Self.pause - now
    }

    /// It runs now.
    mutating func ran(_ loss: Loss, at now: Instant) {
        last = now
        switch loss {
        case .nothing: break
        case .all where isOver(lastAll, now): lastAll = now
        case .some, .all: lastSome = now
        }
    }

    private func isOver(_ moment: Instant?, _ now: Instant) -> Bool { moment.map { now >= $0 + Self.pause } ?? true }
}
