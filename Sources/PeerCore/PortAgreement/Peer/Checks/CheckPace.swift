/// How many checks of public ports are made at once: few while they come through, for each of them takes a visitor's
/// place at the relay, and ever more while nothing answers, which takes nothing from anybody but time. No I/O, no
/// clock.
public struct CheckPace: Sendable {
    static let least = 16
    static let most = 256
    private static let step = 4

    /// In a row.
    private var unanswered = 0

    public init() {}

    public var limit: Int { min(Self.most, Self.least + Self.step * unanswered) }

    public mutating func answered() { unanswered = 0 }

    public mutating func failed() { unanswered = min(unanswered + 1, Self.most) }
}
