import Glibc
import Synchronization

/// The folder in which one node keeps everything, held by this process alone for as long as this object lives.
///
/// Whoever has a `Home` may write in it; commands that only look use `inspect(at:)`.
public final class Home: Sendable {
    /// The process that runs with a home.
    public struct Holder: Hashable, Sendable {
        /// `nil` in the moment between its taking the lock and its writing the number down.
        public let pid: Int32?
    }

    public let paths: HomePaths
    /// The descriptor that holds the lock; `nil` once closed.
    private let lock: Mutex<Int32?>

    private init(paths: HomePaths, lock: Int32) {
        self.paths = paths
        self.lock = Mutex(lock)
    }

    deinit { close() }

    /// Creates the folder (0700) where it is missing, checks that it can be used, locks it, and clears away what a
    /// crash left half written.
    public static func open(at path: String) throws(HomeError) -> Home {
        let paths = try places(at: path)
        try create(paths.folder)
        try checkFolder(paths.folder)
        guard access(paths.folder, W_OK | X_OK) == 0 else {
            throw .notWritable(path: paths.folder, reason: StorageError.text(of: errno))
        }
        let home = Home(paths: paths, lock: try HomeLock.take(paths.lock, of: paths.folder, pid: getpid()))
        for file in [
            paths.nodeKey, paths.keyHistory, paths.meshKey, paths.memberships, paths.tokenKey, paths.previousTokenKey,
            paths.reverseProxyServer, paths.reverseProxyMapping,
        ] {
            Disk.removeLeftovers(of: file)
        }
        return home
    }

    /// The places in a home that exists, without locking it or changing anything.
    public static func inspect(at path: String) throws(HomeError) -> HomePaths {
        let paths = try places(at: path)
        try checkFolder(paths.folder)
        return paths
    }

    /// Who runs with this home; `nil` when nobody does, or when there is no such home.
    public static func holder(at path: String) throws(HomeError) -> Holder? {
        try HomeLock.holder(try places(at: path).lock)
    }

    /// Gives the lock back. Nothing can be written through this home any more; a second call does nothing.
    public func close() {
        lock.withLock { descriptor in
            if let held = descriptor { HomeLock.release(held) }
            descriptor = nil
        }
    }

    public var isHeld: Bool { lock.withLock { $0 != nil } }

    func requireHeld() throws(StorageError) {
        if !isHeld { throw StorageError(.notHeld, path: paths.folder, detail: "this home was closed") }
    }

    private static func places(at path: String) throws(HomeError) -> HomePaths {
        guard !path.isEmpty else { throw .unnamed }
        var folder = "/"
        if let text = getcwd(nil, 0) {
            folder = String(cString: text)
            free(text)
        }
        let paths = HomePaths(folder: path, workingDirectory: folder)
        try paths.checkDepth()
        return paths
    }

    private static func checkFolder(_ path: String) throws(HomeError) {
        var info = stat()
        guard stat(path, &info) == 0 else {
            switch errno {
            case ENOENT: throw .missing(path: path)
            case ENOTDIR: throw .notADirectory(path: path)
            case EACCES: throw .anothers(path: path)
            default: throw .notWritable(path: path, reason: StorageError.text(of: errno))
            }
        }
        guard info.st_mode & S_IFMT == S_IFDIR else { throw .notADirectory(path: path) }
        if info.st_uid != geteuid(), access(path, X_OK) != 0, errno == EACCES { throw .anothers(path: path) }
    }

    /// What other users may do with the folder, as a warning with its cure; `nil`: nothing. Its files are private all
    /// the same, but who may write in a folder may replace them.
    public var exposure: String? {
        var info = stat()
        guard stat(paths.folder, &info) == 0, info.st_mode & 0o077 != 0 else { return nil }
        let rights = info.st_mode & 0o022 != 0 ? "change what is in it" : "look into it"
        return "\(paths.folder): other users may \(rights) (mode \(String(info.st_mode & 0o777, radix: 8))); "
            + "take that from them: chmod 700 '\(paths.folder)'"
    }

    /// Whether the folder is still the one that this process holds. Asks the disk.
    public var isInPlace: Bool {
        lock.withLock { descriptor in
            guard let descriptor else { return true }
            var held = stat()
            var there = stat()
            guard fstat(descriptor, &held) == 0, stat(paths.lock, &there) == 0 else { return false }
            return held.st_dev == there.st_dev && held.st_ino == there.st_ino
        }
    }

    private static func create(_ path: String) throws(HomeError) {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/\(part)"
            if mkdir(made, 0o700) == 0 { continue }
            // Folders above may be closed to us and still lead to one that is not; the last one decides.
            if made == path, errno != EEXIST {
                throw .cannotCreate(path: path, reason: StorageError.text(of: errno))
            }
        }
    }
}
