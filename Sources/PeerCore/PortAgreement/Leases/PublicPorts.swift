public import PeerWire

/// The public ports that a relay gives out: one range, or several such as 80, 443 and 20000-29999.
public struct PublicPorts: Hashable, Sendable, CustomStringConvertible {
    /// In order, and none touches another.
    public let ranges: [PortRange]
    /// Where whoever wants any port gets one: the widest range, the first of two. Ports of the others are for those who
    /// ask for them by number, or whose token names them: nobody gets 443 by chance.
    public let usual: PortRange

    /// `nil` for none.
    public init?(_ ranges: [PortRange]) {
        let joined = PortRange.joined(ranges)
        guard let first = joined.first else { return nil }
        self.ranges = joined
        usual = joined.dropFirst().reduce(first) { $1.count > $0.count ? $1 : $0 }
    }

    public init(_ range: PortRange) {
        ranges = [range]
        usual = range
    }

    /// Reads ranges and single ports with commas between, blanks around them allowed.
    public init?(_ text: some StringProtocol) {
        var ranges: [PortRange] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let range = PortRange(part.drop { $0 == " " }.prefix { $0 != " " }),
                part.drop(while: { $0 == " " }).drop(while: { $0 != " " }).allSatisfy({ $0 == " " })
            else { return nil }
            ranges.append(range)
        }
        self.init(ranges)
    }

    public func contains(_ ports: PortRange) -> Bool { ranges.contains { $0.contains(ports) } }

    public var description: String { ranges.map(\.description).joined(separator: ", ") }
}

extension PortRange {
    /// The same ports in order, with ranges that touch or overlap made one.
    static func joined(_ ranges: [PortRange]) -> [PortRange] {
        var joined: [PortRange] = []
        for range in ranges.sorted(by: { $0.first < $1.first }) {
            if let last = joined.last, Int(range.first) <= Int(last.last) + 1,
                let wider = PortRange(first: last.first, last: max(last.last, range.last))
            {
                joined[joined.count - 1] = wider
            } else {
                joined.append(range)
            }
        }
        return joined
    }
}
