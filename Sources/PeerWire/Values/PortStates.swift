/// The state of each port of a mapping, in their order: runs of equal ones.
///
/// ```
/// state (1) | how many ports (2) | state (1) | …
/// ```
public struct PortStates: Hashable, Sendable {
    public struct Run: Hashable, Sendable {
        public var state: MappingState
        public var count: Int
    }

    /// The most ports that a mapping has, on the wire and for the user.
    public static let maximumPorts = 1_024
    private static let runByteCount = 3

    public private(set) var runs: [Run] = []

    /// Neighbours that are equal become one run.
    public init(_ states: some Sequence<MappingState>) {
        for state in states { append(state, 1) }
    }

    /// How many ports it speaks of.
    public var count: Int { runs.reduce(0) { $0 + $1.count } }

    /// The state of the port so many after the first; `nil` where it speaks of none.
    public subscript(offset: Int) -> MappingState? {
        var end = 0
        for run in runs {
            end += run.count
            if offset < end { return run.state }
        }
        return nil
    }

    /// One state for each port.
    public var all: [MappingState] { runs.flatMap { Array(repeating: $0.state, count: $0.count) } }

    /// Offsets of the ports in a state.
    public func offsets(in state: MappingState) -> Set<UInt16> {
        var found: Set<UInt16> = []
        var first = 0
        for run in runs {
            if run.state == state { found.formUnion((first..<(first + run.count)).map { UInt16($0) }) }
            first += run.count
        }
        return found
    }

    private mutating func append(_ state: MappingState, _ count: Int) {
        if runs.last?.state == state {
            runs[runs.count - 1].count += count
        } else {
            runs.append(Run(state: state, count: count))
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        for run in runs {
            writer.write(run.state.rawValue)
            writer.write(UInt16(run.count))
        }
        return writer.bytes
    }

    /// `nil` when it is none, or speaks of more than `maximumPorts`.
    init?(bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count % Self.runByteCount == 0 else { return nil }
        var total = 0
        for start in stride(from: 0, to: bytes.count, by: Self.runByteCount) {
            let count = Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
            total += count
            guard let state = MappingState(rawValue: bytes[start]), count > 0, total <= Self.maximumPorts else {
                return nil
            }
            append(state, count)
        }
    }
}
