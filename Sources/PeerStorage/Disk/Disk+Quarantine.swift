import Glibc
import PeerCore

/// Damaged files are kept, never deleted: what cannot be read by this program may still be read by a person.
extension Disk {
    /// Renames `path` and what belongs to it to `<path>.damaged-<unix seconds>`, never over something that is there.
    ///
    /// - Parameter companions: endings of files that belong to it (`-wal`), moved first and under the same new name.
    /// - Returns: the new path of `path`.
    static func moveAside(
        _ path: String, companions: [String] = [], at now: WallTime
    ) throws(StorageError) -> String {
        let aside = try freeAsidePath(for: path, companions: companions, at: now)
        // The companions go first: a journal that stayed beside a fresh database would be played into it.
        for ending in companions + [""] {
            guard rename(path + ending, aside + ending) == 0 || errno == ENOENT else {
                throw StorageError(code: errno, doing: "put the damaged file aside", path: path + ending)
            }
        }
        try flushFolder(of: path)
        return aside
    }

    private static func freeAsidePath(
        for path: String, companions: [String], at now: WallTime
    ) throws(StorageError) -> String {
        let first = "\(path).damaged-\(now.seconds)"
        var candidate = first
        for number in 2...1_000 {
            var isTaken = false
            for ending in companions + [""] where try kind(of: candidate + ending) != nil { isTaken = true }
            if !isTaken { return candidate }
            candidate = "\(first)-\(number)"
        }
        throw StorageError(
            .failed, path: path, detail: "it is damaged and there are a thousand damaged ones beside it already",
            advice: "find out what damages it, and delete the files '\(path).damaged-*'")
    }
}
