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
        guard !path.isEmpty else { throw .missing(path: "''") }
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
            default: throw .notWritable(path: path, reason: StorageError.text(of: errno))
            }
        }
        guard info.st_mode & S_IFMT == S_IFDIR else { throw .notADirectory(path: path) }
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
