public import PeerWire

/// Joins datagrams that came in pieces, within bounded memory. No I/O, no clock.
public struct PieceJoiner: Sendable {
    /// Datagrams that wait for their other pieces; the oldest gives way.
    public static let places = 32
    /// A datagram whose pieces do not all come within this is given up.
    public static let limit = Instant.Span.seconds(1)
    /// What one piece has at most: no way that is worth cutting for takes more.
    public static let maximumPiece = 16_384

    public struct Counts: Hashable, Sendable {
        public var joined: UInt64 = 0
        /// Given up, because pieces were missing.
        public var lost: UInt64 = 0
    }

    private struct Waiting: Sendable {
        let flow: DatagramFrame.Flow
        let datagram: UInt16
        let count: UInt8
        let began: Instant
        var pieces: [[UInt8]?]
    }

    private var waiting: [Waiting] = []
    public private(set) var counts = Counts()

    public init() {}

    /// A piece came.
    ///
    /// - Returns: the datagram, when that was the last one that was missing.
    public mutating func take(
        _ piece: DatagramFrame.Piece, of flow: DatagramFrame.Flow, _ bytes: some Collection<UInt8>, at now: Instant
    ) -> [UInt8]? {
        expire(at: now)
        guard bytes.count <= Self.maximumPiece, piece.index < piece.count else { return nil }
        var place = waiting.firstIndex { $0.flow == flow && $0.datagram == piece.datagram }
        if let known = place, waiting[known].count != piece.count {
            // The numbers have gone round, or the sender lies.
            waiting.remove(at: known)
            counts.lost += 1
            place = nil
        }
        if place == nil {
            if waiting.count >= Self.places {
                waiting.removeFirst()
                counts.lost += 1
            }
            waiting.append(
                Waiting(
                    flow: flow, datagram: piece.datagram, count: piece.count, began: now,
                    pieces: [[UInt8]?](repeating: nil, count: Int(piece.count))))
        }
        let at = place ?? waiting.count - 1
        waiting[at].pieces[Int(piece.index)] = Array(bytes)
        guard waiting[at].pieces.allSatisfy({ $0 != nil }) else { return nil }
        counts.joined += 1
        return waiting.remove(at: at).pieces.flatMap { $0 ?? [] }
    }

    /// Gives up what waited too long.
    public mutating func expire(at now: Instant) {
        let late = waiting.prefix { now - $0.began >= Self.limit }.count
        guard late > 0 else { return }
        waiting.removeFirst(late)
        counts.lost += UInt64(late)
    }
}
