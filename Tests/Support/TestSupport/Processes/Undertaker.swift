import Foundation

/// Tells a helper process what must not outlive this one; it acts when this one ends, however that happens.
final class Undertaker: @unchecked Sendable {
    static let shared = Undertaker()

    private let lock = NSLock()
    private var pipeEnd: Int32 = -1

    private init() {
        guard let tool = try? Binaries.labtool(), let ends = try? CloseOnExec.pipe() else { return }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends.read, 0)
        // The runner waits for the end of its outputs; the helper must not hold them.
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var argv: [UnsafeMutablePointer<CChar>?] = [strdup(tool), strdup("reaper"), nil]
        defer { for word in argv { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, tool, &actions, &attributes, &argv, environ)
        close(ends.read)
        if code == 0 { pipeEnd = ends.write } else { close(ends.write) }
    }

    func watch(pid: pid_t) {
        guard let start = ProcessFacts.startTime(of: pid) else { return }
        tell("pid \(pid) \(start)")
    }

    func watch(namespace: String) { tell("netns \(namespace)") }
    func watch(folder: String) { tell("remove \(folder)") }

    private func tell(_ line: String) {
        lock.lock()
        defer { lock.unlock() }
        guard pipeEnd >= 0 else { return }
        let bytes = Array((line + "\n").utf8)
        _ = write(pipeEnd, bytes, bytes.count)
    }
}
