import Glibc

/// The system calls on files, each failure with the path and the reason.
enum Disk {
    struct Content {
        var bytes: [UInt8]
        /// The permission bits.
        var mode: mode_t
    }

    /// The whole of a regular file, or `nil` when there is none.
    ///
    /// - Parameter limit: a longer file is refused as damaged instead of filling the memory.
    static func read(_ path: String, limit: Int) throws(StorageError) -> Content? {
        // Non-blocking, because opening a pipe that lies there instead would wait for a writer for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw StorageError(code: errno, doing: "open it", path: path)
        }
        defer { close(descriptor) }

        var info = stat()
        guard fstat(descriptor, &info) == 0 else {
            throw StorageError(code: errno, doing: "look at it", path: path)
        }
        guard info.st_mode & S_IFMT == S_IFREG else {
            throw StorageError(.notAFile, path: path, detail: "it is not a file")
        }
        return Content(bytes: try readAll(descriptor, path: path, limit: limit), mode: info.st_mode & 0o7777)
    }

    private static func readAll(_ descriptor: Int32, path: String, limit: Int) throws(StorageError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw StorageError(code: errno, doing: "read it", path: path)
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            if bytes.count > limit {
                throw StorageError(.damaged, path: path, detail: "it is longer than \(limit) bytes")
            }
        }
    }

    static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(StorageError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw StorageError(code: errno, doing: "write it", path: path)
            }
            written += count
        }
    }

    /// What lies at a path, the link itself and not what it points to; `nil` when nothing does.
    /// For a library that makes files as others may read them: begins an empty one where there is none, and takes the
    /// rights of others from those that are there. What cannot be done the library will say.
    static func makePrivate(_ path: String, companions: [String]) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if descriptor >= 0 { close(descriptor) }
        for file in [path] + companions.map({ path + $0 }) { _ = chmod(file, 0o600) }
    }

    static func kind(of path: String) throws(StorageError) -> mode_t? {
        var info = stat()
        if lstat(path, &info) == 0 { return info.st_mode & S_IFMT }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw StorageError(code: errno, doing: "look at it", path: path)
    }

    /// The length in bytes of what lies there; 0 when nothing does.
    static func size(of path: String) -> Int {
        var info = stat()
        return stat(path, &info) == 0 ? Int(info.st_size) : 0
    }

    /// The folder that holds a file.
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func name(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }
}
