internal import CLinux
import Glibc

/// Pipes that carry spliced bytes, kept for the next transfer. Belongs to one loop.
final class PipePool {
    struct Pipe {
        let readEnd: Int32
        let writeEnd: Int32

        func close() {
            _ = Glibc.close(readEnd)
            _ = Glibc.close(writeEnd)
        }
    }

    /// More idle pipes than this are closed.
    private static let kept = 32
    private var idle: [Pipe] = []

    /// `nil` when the system gives none; then bytes are copied.
    func take() -> Pipe? {
        if let pipe = idle.popLast() { return pipe }
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe(&ends) == 0 else { return nil }
        return Pipe(readEnd: ends[0], writeEnd: ends[1])
    }

    /// A pipe with bytes left in it is of no use to anybody else.
    func giveBack(_ pipe: Pipe, isEmpty: Bool) {
        if isEmpty, idle.count < Self.kept {
            idle.append(pipe)
        } else {
            pipe.close()
        }
    }

    deinit { for pipe in idle { pipe.close() } }
}
