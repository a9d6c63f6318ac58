extension FuzzTarget {
    /// A parser of a whole: bytes in, a value or nothing out.
    ///
    /// What is understood and written again means the same, and is what came in, but for bits that the format passes
    /// over: `meaning` clears those in an accepted input.
    public static func whole<Value: Equatable & Sendable>(
        _ name: String, longestInput: Int = 512, parse: @escaping @Sendable ([UInt8]) -> Value?,
        write: @escaping @Sendable (Value) -> [UInt8],
        meaning: @escaping @Sendable ([UInt8]) -> [UInt8] = { $0 }
    ) -> FuzzTarget {
        FuzzTarget(name, longestInput: longestInput) { input in
            guard let value = parse(input) else { return .refused }
            let written = write(value)
            guard parse(written) == value else { return .flawed("\(value) is written as \(written), which is not it") }
            let meant = meaning(input)
            return written == meant ? .accepted : .flawed("\(meant) is written again as \(written)")
        }
    }

    /// A parser of text; `meaning` says which spelling it is written in, or `nil` where there are many.
    public static func text<Value: Equatable & Sendable>(
        _ name: String, longestInput: Int = 512, parse: @escaping @Sendable (String) -> Value?,
        write: @escaping @Sendable (Value) -> String, meaning: @escaping @Sendable (String) -> String?
    ) -> FuzzTarget {
        FuzzTarget(name, longestInput: longestInput) { input in
            guard let text = String(validating: input, as: UTF8.self), let value = parse(text) else { return .refused }
            let written = write(value)
            guard parse(written) == value else { return .flawed("\(value) is written as \(written), which is not it") }
            guard let meant = meaning(text) else { return .accepted }
            return Array(written.utf8) == Array(meant.utf8) ? .accepted : .flawed("\(text) is written as \(written)")
        }
    }

    /// What the beginning of a stream says so far.
    public enum Reading: Equatable, Sendable {
        case incomplete
        /// Understood; these bytes, at the beginning, said it.
        case settled([UInt8])
        case foreign
    }

    /// A reader of a stream's beginning, asked again as more arrives. `limit` is how many bytes it may wait for.
    ///
    /// It never waits for more than its limit, what is foreign stays foreign, what is settled is what came in and is
    /// never taken back for waiting or for something else, and one call with everything says the same.
    public static func opening(
        _ name: String, limit: Int, read: @escaping @Sendable ([UInt8]) -> Reading
    ) -> FuzzTarget {
        FuzzTarget(name, longestInput: 2 * limit + 16) { input in
            var former = Reading.incomplete
            for count in 0...input.count {
                let reading = read(Array(input.prefix(count)))
                switch (former, reading) {
                case (.foreign, .foreign): break
                case (.foreign, _): return .flawed("foreign after \(count - 1) bytes, then not: \(reading)")
                case (.settled, .incomplete): return .flawed("settled after \(count - 1) bytes, then not")
                case (.settled(let old), .settled(let new)) where old != new:
                    return .flawed("settled differently after \(count) bytes")
                default: break
                }
                if reading == .incomplete, count >= limit { return .flawed("still waits after \(count) bytes") }
                if case .settled(let bytes) = reading, !input.starts(with: bytes) {
                    return .flawed("settled for \(bytes), which did not come")
                }
                former = reading
            }
            if case .settled = former { return .accepted }
            return .refused
        }
    }

    /// What a decoder of a stream made of its input.
    public struct Decoded<Event: Equatable & Sendable>: Equatable, Sendable {
        public var events: [Event] = []
        /// Why it stopped before the end.
        public var fault: String?
        /// Bytes that it kept between two chunks, at most. Depends on the chunks, so it is no part of equality.
        public var largestBuffer = 0

        public init() {}

        public static func == (left: Self, right: Self) -> Bool {
            left.events == right.events && left.fault == right.fault
        }
    }

    /// A decoder of a stream. `decode` hands it the chunks one after the other, as a loop would.
    ///
    /// However the bytes are cut, the same comes out; it never keeps more than `buffer` bytes; and each event written
    /// again (`rewrite`; `nil` where nothing is to be written) is the same event.
    public static func stream<Event: Equatable & Sendable>(
        _ name: String, buffer: Int, longestInput: Int,
        decode: @escaping @Sendable ([ArraySlice<UInt8>]) -> Decoded<Event>,
        rewrite: @escaping @Sendable (Event) -> [UInt8]?
    ) -> FuzzTarget {
        FuzzTarget(name, longestInput: longestInput) { input in
            let whole = decode([input[...]])
            let ways = [("byte by byte", input.indices.map { input[$0...$0] }), ("in pieces", pieces(of: input))]
            for (way, chunks) in ways {
                let cut = decode(chunks)
                if cut != whole { return .flawed("\(way) it is \(cut), whole it is \(whole)") }
                if cut.largestBuffer > buffer { return .flawed("\(way) it keeps \(cut.largestBuffer) bytes") }
            }
            for event in whole.events {
                guard let bytes = rewrite(event) else { continue }
                let again = decode([bytes[...]])
                if again.events != [event] || again.fault != nil { return .flawed("\(event) comes back as \(again)") }
            }
            return whole.events.isEmpty ? .refused : .accepted
        }
    }

    /// Cuts that the input itself decides, so that a finding can be repeated. Empty chunks are among them.
    private static func pieces(of input: [UInt8]) -> [ArraySlice<UInt8>] {
        // FNV-1a for the seed, xorshift for the sizes.
        var state = input.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } | 1
        var chunks: [ArraySlice<UInt8>] = []
        var rest = input[...]
        while !rest.isEmpty {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            // Mostly small, sometimes as much as a loop reads at once.
            let size = state % 8 == 0 ? Int(state >> 8 % 65_537) : Int(state >> 8 % 24)
            chunks.append(rest.prefix(size))
            rest = rest.dropFirst(size)
        }
        return chunks
    }
}
