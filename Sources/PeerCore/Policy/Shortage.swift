/// Something has run out, again and again: worth one line when it begins and one when it is over.
public struct Shortage: Hashable, Sendable {
    /// Without another refusal for so long it is over, where there is some again.
    static let calm = Instant.Span.seconds(10)

    private var last: Instant?
    /// Who was refused since it began.
    public private(set) var refused: UInt64 = 0

    public init() {}

    public var isThere: Bool { last != nil }

    /// So many were refused. Whether it begins with that.
    public mutating func noted(_ count: UInt64, at now: Instant) -> Bool {
        defer { last = now }
        refused += count
        return last == nil
    }

    /// How many were refused in all, once it is over.
    ///
    /// - Parameter isShort: whether the next one would be refused; asked only where nobody was for a while.
    public mutating func timePassed(at now: Instant, isShort: () -> Bool) -> UInt64? {
        guard let last, now - last >= Self.calm, !isShort() else { return nil }
        defer { self = Shortage() }
        return refused
    }
}
