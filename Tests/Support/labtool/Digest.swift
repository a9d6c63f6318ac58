import Glibc

/// SHA-256 by coreutils: a child that reads what we write. Fast in every build mode.
final class Digest {
    private var child: pid_t = 0
    private let input: Int32
    private let output: Int32

    init() throws {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw SocketError("pipe") }
        for fd in toChild + fromChild { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("sha256sum"), nil]
        defer { free(words[0]) }
        let code = posix_spawnp(&child, "sha256sum", &actions, nil, &words, environ)
        close(toChild[0])
        close(fromChild[1])
        input = toChild[1]
        output = fromChild[0]
        guard code == 0 else { throw SocketError("sha256sum", code) }
    }

    func add(_ bytes: UnsafeRawBufferPointer) throws { try Socket.writeAll(input, bytes) }

    /// 64 hexadecimal digits.
    func finish() throws -> String {
        close(input)
        var text = ""
        try withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { buffer in
            while case let count = try Socket.readSome(output, buffer), count > 0 {
                text += String(decoding: buffer[..<count], as: UTF8.self)
            }
        }
        close(output)
        var status: Int32 = 0
        waitpid(child, &status, 0)
        return String(text.prefix(64))
    }
}
