import Foundation

/// A pipe that no child inherits, not even one that another thread starts in the same moment.
enum CloseOnExec {
    /// pipe2, reached by name because Glibc's module leaves it out.
    private static let pipe2 = unsafeBitCast(
        dlsym(dlopen(nil, RTLD_NOW), "pipe2"),
        to: (@convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Int32).self)

    /// - Returns: the end to read from and the end to write to.
    static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { throw Failure("pipe: errno \(errno)") }
        return (ends[0], ends[1])
    }
}
