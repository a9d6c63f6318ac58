/// How calls leave a node, by name.
public struct EgressName: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }
}

/// Which ways out a call may take, the first one first: a pure function of where it wants to go and of who calls.
public struct Router: Sendable {
    /// Who calls.
    public enum Caller: Hashable, Sendable {
        /// Somebody whom the mapping lets in.
        case visitor
        /// Somebody whom it keeps out, and who comes from the address of the node that may check it. Such a caller gets
        /// the answer to a check and nothing else.
        case checker
    }

    /// What an egress can do.
    public struct Offer: Sendable {
        public let name: EgressName
        public let kind: Destination.Kind
        public let callers: Set<Caller>

        public init(_ name: EgressName, to kind: Destination.Kind, for callers: Set<Caller>) {
            self.name = name
            self.kind = kind
            self.callers = callers
        }
    }

    private struct Case: Hashable {
        let kind: Destination.Kind
        let caller: Caller
    }

    private var table: [Case: [EgressName]] = [:]

    public init() {}

    /// One more way out, after those that were added before.
    public mutating func add(_ offer: Offer) {
        for caller in offer.callers {
            table[Case(kind: offer.kind, caller: caller), default: []].append(offer.name)
        }
    }

    /// The ways out, in the order in which they are to be tried; empty where there is none.
    public func hops(to destination: Destination, for caller: Caller) -> [EgressName] {
        table[Case(kind: destination.kind, caller: caller)] ?? []
    }
}
