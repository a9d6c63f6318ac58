internal import PeerCore
internal import PeerReactor
internal import PeerWire

extension PieceJoiner {
    /// A piece came; datagrams that are given up are counted.
    mutating func take(
        _ piece: DatagramFrame.Piece, of flow: DatagramFrame.Flow, _ part: UnsafeMutableRawBufferPointer,
        on loop: EventLoop
    ) -> [UInt8]? {
        let lost = counts.lost
        let joined = take(piece, of: flow, part, at: loop.now)
        if counts.lost != lost { loop.datagrams?.counts.incomplete += counts.lost - lost }
        return joined
    }
}
