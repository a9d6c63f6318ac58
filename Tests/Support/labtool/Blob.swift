import Glibc

/// An endless body that is the same everywhere: a block of pseudo-random bytes over and over. The block's length is a
/// prime, so that any piece put at a wrong place shows.
struct Blob {
    static let period = 1_048_573

    private let block: UnsafeMutableRawBufferPointer

    init() {
        block = UnsafeMutableRawBufferPointer.allocate(byteCount: Blob.period + 8, alignment: 8)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for offset in stride(from: 0, to: Blob.period, by: 8) {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            block.storeBytes(of: state, toByteOffset: offset, as: UInt64.self)
        }
    }

    /// Hands out the body from `offset`, at most `count` bytes, in pieces as long as possible.
    func forEachPiece(from offset: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        var done = 0
        while done < count {
            let start = (offset + done) % Blob.period
            let length = min(Blob.period - start, count - done, 256 << 10)
            try body(UnsafeRawBufferPointer(rebasing: block[start..<start + length]))
            done += length
        }
    }

    func matches(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        var same = true
        var done = 0
        forEachPiece(from: offset, count: bytes.count) { piece in
            same = same && memcmp(piece.baseAddress!, bytes.baseAddress! + done, piece.count) == 0
            done += piece.count
        }
        return same
    }
}
