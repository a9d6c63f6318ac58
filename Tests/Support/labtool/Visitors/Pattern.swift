import Glibc
import Synchronization

/// The other direction of a connection, on a thread of its own. That it failed shows in what does not come back.
final class Sender: Sendable {
    private let isDone = Atomic(false)

    init(_ body: @escaping @Sendable () throws -> Void) {
        Threads.start { [self] in
            try? body()
            isDone.store(true, ordering: .releasing)
        }
    }

    func finish(_ fd: Int32) {
        guard !isDone.load(ordering: .acquiring) else { return }
        shutdown(fd, Int32(SHUT_RDWR))
        while !isDone.load(ordering: .acquiring) { Clock.sleep(milliseconds: 1) }
    }
}

/// A blob that all threads read.
struct Pattern: @unchecked Sendable {
    // Unchecked: it is filled once and never written again.
    private let blob = Blob()

    func forEachPiece(from offset: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try blob.forEachPiece(from: offset, count: count, body)
    }

    func matches(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool { blob.matches(bytes, at: offset) }

    /// How many bytes are not what they should be.
    func differences(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
        var (count, done) = (0, 0)
        blob.forEachPiece(from: offset, count: bytes.count) { piece in
            for index in piece.indices where piece[index] != bytes[done + index] { count += 1 }
            done += piece.count
        }
        return count
    }
}
