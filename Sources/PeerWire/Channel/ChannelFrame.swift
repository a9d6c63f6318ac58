/// What a data channel, which serves one visitor after the other, is made of (docs/protocol.md, "Data channels"):
/// everything on it, both ways, is in frames, and each direction of a visitor ends with `end`, or with `broken` where
/// it was reset.
///
/// ```
/// kind (1) | length (3) | length bytes
/// ```
public enum ChannelFrame {
    public enum Kind: UInt8, Sendable {
        /// The relay announces a visitor (`VisitorStart`).
        case start = 1
        /// The visitor's bytes, or the target's.
        case bytes = 2
        /// This direction of this visitor has ended.
        case end = 3
        /// The peer is through with this visitor, and waits for the next one.
        case ready = 4
        /// The peer's answer to a start that wants one.
        case alive = 5
        /// What follows in this direction is bytes without frames, to the end of the connection. Never over TLS.
        case raw = 6
        /// This visitor was reset at this end: nothing more comes of it, and what still comes is passed over.
        case broken = 7
    }

    public static let headerByteCount = 4
    /// Bytes that one frame carries at most: with its header, what a loop reads at once.
    public static let maximumPayload = 65_536 - headerByteCount

    public static let end = header(.end)
    public static let ready = header(.ready)
    public static let endAndReady = end + ready
    public static let alive = header(.alive)
    public static let raw = header(.raw)
    public static let broken = header(.broken)

    /// The header of a frame with so many bytes of payload.
    public static func header(_ kind: Kind, count: Int = 0) -> [UInt8] {
        [
            kind.rawValue, UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8),
            UInt8(truncatingIfNeeded: count),
        ]
    }

    /// Writes that header in front of a payload, into bytes that were left free for it.
    public static func write(_ kind: Kind, count: Int, into place: UnsafeMutableRawBufferPointer) {
        place[0] = kind.rawValue
        place[1] = UInt8(truncatingIfNeeded: count >> 16)
        place[2] = UInt8(truncatingIfNeeded: count >> 8)
        place[3] = UInt8(truncatingIfNeeded: count)
    }

    /// A visitor's bytes as frames.
    public static func framed(_ payload: some Collection<UInt8>) -> [UInt8] {
        var framed: [UInt8] = []
        var rest = payload[...]
        while !rest.isEmpty {
            let piece = rest.prefix(maximumPayload)
            framed += header(.bytes, count: piece.count)
            framed += piece
            rest = rest.dropFirst(piece.count)
        }
        return framed
    }

    /// What the first frames of a visitor carry, as far as they are there, and whether something else than bytes
    /// follows already.
    public static func opening(of bytes: [UInt8]) -> (payload: [UInt8], isEnded: Bool) {
        var payload: [UInt8] = []
        var reader = ChannelFrameReader()
        let isEnded = bytes.withUnsafeBytes { bytes in
            var offset = 0
            while true {
                switch reader.next(in: bytes, from: &offset) {
                case .bytes(let range): payload += bytes[range]
                case .nothing: return false
                case .end, .broken, .ready, .alive, .raw, .breach: return true
                }
            }
        }
        return (payload, isEnded)
    }
}

/// Walks over what arrives of one visitor, wherever the reads cut it. Takes nothing out of the buffer, allocates
/// nothing, and keeps 8 bytes.
///
/// A start is none of a visitor's frames: it comes between two visitors, where nobody reads with this.
public struct ChannelFrameReader: Equatable, Sendable {
    public enum Piece: Equatable, Sendable {
        /// Where in the buffer bytes of the visitor are; never empty.
        case bytes(Range<Int>)
        case end
        case broken
        case ready
        case alive
        case raw
        /// Nothing more in this buffer.
        case nothing
        /// No frame that may come here. It stays the last piece, whatever follows.
        case breach
    }

    /// Bytes of the present frame's payload that are still to come.
    private var missing: UInt32 = 0
    /// The first bytes of a header that was cut, the latest lowest.
    private var header: UInt32 = 0x0

    private static let inBreach: UInt32 = .max

    public init() {}

    /// Whether what came so far ends with a whole frame.
    public var isBetweenFrames: Bool { missing == 0 && header == 0 }

    /// The next piece from `offset` on, which moves behind it.
    public mutating func next(in buffer: UnsafeRawBufferPointer, from offset: inout Int) -> Piece {
        guard missing != Self.inBreach else { return .breach }
        if missing == 0 {
            // No kind is 0, so a number of up to three bytes says how many there are.
            while header <= 0xff_ffff {
                guard offset < buffer.count else { return .nothing }
                header = header << 8 | UInt32(buffer[offset])
                offset += 1
                if header == 0 { return breach() }
            }
            let length = header & 0xff_ffff
            let kind = ChannelFrame.Kind(rawValue: UInt8(header >> 24))
            header = 0
            switch (kind, length) {
            case (.bytes, 1...UInt32(ChannelFrame.maximumPayload)): missing = length
            case (.end, 0): return .end
            case (.broken, 0): return .broken
            case (.ready, 0): return .ready
            case (.alive, 0): return .alive
            case (.raw, 0): return .raw
            default: return breach()
            }
        }
        guard offset < buffer.count else { return .nothing }
        let range = offset..<(offset + min(Int(missing), buffer.count - offset))
        missing -= UInt32(range.count)
        offset = range.upperBound
        return .bytes(range)
    }

    private mutating func breach() -> Piece {
        missing = Self.inBreach
        return .breach
    }
}
