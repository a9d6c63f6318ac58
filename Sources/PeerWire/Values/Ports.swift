/// What a public port carries. A mapping may ask for both on one number.
public struct TransportProtocols: OptionSet, Hashable, Sendable, Codable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let tcp = TransportProtocols(rawValue: 1)
    public static let udp = TransportProtocols(rawValue: 2)

    private static let named: [(word: String, protocols: TransportProtocols)] = [("tcp", .tcp), ("udp", .udp)]

    /// Each by itself.
    public var each: [TransportProtocols] { Self.named.map(\.protocols).filter { contains($0) } }

    /// `tcp`, `udp`: as people write them, and as tokens, receipts and listings do.
    public var words: [String] { Self.named.filter { contains($0.protocols) }.map(\.word) }

    /// `nil` for any other word.
    public init?(word: String) {
        guard let named = Self.named.first(where: { $0.word == word }) else { return nil }
        self = named.protocols
    }
}

/// Consecutive port numbers, both ends included; never empty, never containing 0.
public struct PortRange: Hashable, Sendable, CustomStringConvertible {
    public let first: UInt16
    public let last: UInt16

    /// `nil` when the range is empty or holds port 0.
    public init?(first: UInt16, last: UInt16) {
        guard first > 0, first <= last else { return nil }
        self.first = first
        self.last = last
    }

    /// `count` ports from `first` on; `nil` when they run past 65535 or are none.
    public init?(first: UInt16, count: Int) {
        guard count > 0, Int(first) + count - 1 <= Int(UInt16.max) else { return nil }
        self.init(first: first, last: UInt16(Int(first) + count - 1))
    }

    /// 1 to 65535.
    public static let all = PortRange(known: 1, 65_535)

    private init(known first: UInt16, _ last: UInt16) {
        self.first = first
        self.last = last
    }

    public var count: Int { Int(last) - Int(first) + 1 }
    public var ports: ClosedRange<UInt16> { first...last }

    public func contains(_ other: PortRange) -> Bool { first <= other.first && other.last <= last }
    public func overlaps(_ other: PortRange) -> Bool { ports.overlaps(other.ports) }

    public var description: String { first == last ? "\(first)" : "\(first)-\(last)" }
}

/// What a peer asks of a relay: which public ports, and how firmly. All or nothing.
public enum PortWish: Hashable, Sendable {
    /// Any `count` consecutive ports.
    case any(count: Int)
    /// Exactly these, or a refusal.
    case exactly(PortRange)
    /// These where they are free, otherwise as many others in a row.
    case preferably(PortRange)

    public var count: Int {
        switch self {
        case .any(let count): count
        case .exactly(let range), .preferably(let range): range.count
        }
    }

    /// The very ports that it names.
    public var range: PortRange? {
        switch self {
        case .any: nil
        case .exactly(let range), .preferably(let range): range
        }
    }
}
