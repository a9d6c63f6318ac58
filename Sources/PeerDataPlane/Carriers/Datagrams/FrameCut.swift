internal import PeerCore
internal import PeerWire

/// How the frame of a visitor's datagram, or of an answer to one, is written: in one datagram or in pieces.
struct FrameCut {
    /// What one datagram may have, all in all.
    let largest: Int

    /// How many pieces so many bytes make; 1: none are needed; `nil`: too many.
    func pieces(_ count: Int, overhead: Int = DatagramFrame.payloadOverhead) -> Int? {
        if count + overhead + DatagramHeader.overhead <= largest { return 1 }
        let room = pieceRoom
        let pieces = (count + room - 1) / room
        return pieces <= Int(DatagramFrame.Piece.maximumCount) && room <= PieceJoiner.maximumPiece
            ? max(pieces, 2) : nil
    }

    /// What a piece has at most.
    var pieceRoom: Int { largest - DatagramHeader.overhead - DatagramFrame.pieceOverhead }

    /// The part of a datagram that one of its pieces carries.
    func part(_ index: Int, of pieces: Int, _ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let size = (bytes.count + pieces - 1) / pieces
        let start = min(index * size, bytes.count)
        return UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + size, bytes.count)])
    }
}
