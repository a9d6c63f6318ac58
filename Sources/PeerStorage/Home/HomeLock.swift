import Glibc

/// The exclusive lock on a home: `flock(2)` on the file `lock`, in which the holder writes its process number.
///
/// The kernel gives the lock back when the holder dies, however it dies. The file itself is never removed: a second
/// process could otherwise lock the removed one while a third locks a new one.
enum HomeLock {
    /// - Returns: the descriptor that holds the lock until it is closed.
    static func take(_ path: String, of home: String, pid: Int32) throws(HomeError) -> Int32 {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            switch errno {
            case EACCES, EPERM, EROFS, ENOSPC, EDQUOT:
                throw .notWritable(path: home, reason: StorageError.text(of: errno))
            default:
                throw .cannotLock(path: path, reason: StorageError.text(of: errno))
            }
        }
        do throws(HomeError) {
            try lock(descriptor, path: path, home: home)
            try write(pid, to: descriptor, home: home)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func lock(_ descriptor: Int32, path: String, home: String) throws(HomeError) {
        // A command that asks for the holder has the lock for some microseconds itself (`holder`), and must not
        // look like a running node: hence a few tries, a millisecond apart.
        for _ in 0..<10 {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
            guard errno == EWOULDBLOCK || errno == EINTR else {
                throw .cannotLock(path: path, reason: StorageError.text(of: errno))
            }
            usleep(1_000)
        }
        throw .inUse(path: home, pid: readPid(descriptor))
    }

    private static func write(_ pid: Int32, to descriptor: Int32, home: String) throws(HomeError) {
        let text = Array("\(pid)\n".utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
            throw .notWritable(path: home, reason: StorageError.text(of: errno))
        }
    }

    static func release(_ descriptor: Int32) {
        ftruncate(descriptor, 0)
        // A child that was forked and has not come to its exec yet has the descriptor too, and with it the lock.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Who holds the lock now; `nil` when nobody does.
    static func holder(_ path: String) throws(HomeError) -> Home.Holder? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw .cannotLock(path: path, reason: StorageError.text(of: errno))
        }
        defer { close(descriptor) }
        // Shared, so that two commands that ask at the same time do not see each other.
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
        guard errno == EWOULDBLOCK else { throw .cannotLock(path: path, reason: StorageError.text(of: errno)) }
        return Home.Holder(pid: readPid(descriptor))
    }

    private static func readPid(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let digits = bytes[..<count].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return Int32(String(decoding: digits, as: UTF8.self))
    }
}
