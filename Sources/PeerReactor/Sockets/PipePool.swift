internal import CLinux
import Glibc

/// Pipes that carry spliced bytes, kept for the next transfer. Belongs to one loop.
final class PipePool {
    /// A class, so that a direction without one has room for a pointer and no more.
    final class Pipe {
        let readEnd: Int32
        let writeEnd: Int32
        fileprivate let isLarge: Bool

        fileprivate init(readEnd: Int32, writeEnd: Int32, isLarge: Bool) {
            self.readEnd = readEnd
            self.writeEnd = writeEnd
            self.isLarge = isLarge
        }

        func close() {
            _ = Glibc.close(readEnd)
            _ = Glibc.close(writeEnd)
        }
    }

    /// More idle pipes than this are closed.
    private static let kept = 32
    /// A pipe of the usual 64 KiB takes four times as many calls for the same bytes, and twice the processor time
    /// (docs/performance.md).
    private static let largeSize: Int32 = 1 << 20
    /// The system gives a user 64 MiB of pipes (pipe(7), pipe-user-pages-soft); beyond them every new one is tiny. So
    /// few are large, and only while there is room.
    private static let maximumLarge = 12
    private static let setSize: Int32 = 1_031

    private var idle: [Pipe] = []
    private var large = 0

    /// `nil` when the system gives none; then bytes are copied.
    func take() -> Pipe? {
        if let pipe = idle.popLast() { return pipe }
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe(&ends) == 0 else { return nil }
        let isLarge = large < Self.maximumLarge && fcntl(ends[1], Self.setSize, Self.largeSize) >= Self.largeSize
        if isLarge { large += 1 }
        return Pipe(readEnd: ends[0], writeEnd: ends[1], isLarge: isLarge)
    }

    /// A pipe with bytes left in it is of no use to anybody else.
    func giveBack(_ pipe: Pipe, isEmpty: Bool) {
        if isEmpty, idle.count < Self.kept {
            idle.append(pipe)
        } else {
            pipe.close()
            if pipe.isLarge { large -= 1 }
        }
    }

    deinit { for pipe in idle { pipe.close() } }
}
