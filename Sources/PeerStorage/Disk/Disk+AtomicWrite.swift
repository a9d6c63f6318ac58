import FoundationEssentials
import Glibc

/// Files that are always whole: written aside, flushed, and put in place by one system call.
extension Disk {
    enum Placement {
        /// Takes the place of what is there.
        case replacing
        /// Fails with `EEXIST` (returned as `false`) rather than touch what is there.
        case onlyIfAbsent
    }

    /// Writes a file so that a reader, a crash or a power cut sees either nothing of it or all of it.
    ///
    /// - Returns: `false` when something was already there and the placement forbids to replace it.
    static func writeAtomically(
        _ bytes: [UInt8], to path: String, mode: mode_t, placement: Placement
    ) throws(StorageError) -> Bool {
        let aside = temporaryPath(for: path)
        let descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw StorageError(code: errno, doing: "write it", path: path) }

        do throws(StorageError) {
            try fill(descriptor, with: bytes, mode: mode, path: path)
            let placed = try put(aside, at: path, placement: placement)
            if !placed { unlink(aside) }
            try flushFolder(of: path)
            return placed
        } catch {
            unlink(aside)
            throw error
        }
    }

    private static func fill(
        _ descriptor: Int32, with bytes: [UInt8], mode: mode_t, path: String
    ) throws(StorageError) {
        var isOpen = true
        defer { if isOpen { close(descriptor) } }
        // The umask may have taken rights away that the file is meant to have.
        guard fchmod(descriptor, mode) == 0 else {
            throw StorageError(code: errno, doing: "set its rights", path: path)
        }
        try writeAll(bytes, to: descriptor, path: path)
        guard fsync(descriptor) == 0 else { throw StorageError(code: errno, doing: "flush it to the disk", path: path) }
        // Network file systems and quotas report a lost write as late as here.
        isOpen = false
        guard close(descriptor) == 0 || errno == EINTR else {
            throw StorageError(code: errno, doing: "write it", path: path)
        }
    }

    private static func put(_ aside: String, at path: String, placement: Placement) throws(StorageError) -> Bool {
        if placement == .onlyIfAbsent {
            // link(2) never replaces, rename(2) always does.
            if link(aside, path) == 0 {
                unlink(aside)
                return true
            }
            if errno == EEXIST { return false }
            // File systems without hard links (FAT, some FUSE): the home's lock keeps others from coming in between.
            guard errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK else {
                throw StorageError(code: errno, doing: "create it", path: path)
            }
            if try kind(of: path) != nil { return false }
        }
        guard rename(aside, path) == 0 else { throw StorageError(code: errno, doing: "replace it", path: path) }
        return true
    }

    /// Makes a new or changed name in the folder outlive a power cut.
    static func flushFolder(of path: String) throws(StorageError) {
        let folder = folder(of: path)
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StorageError(code: errno, doing: "open it", path: folder) }
        defer { close(descriptor) }
        // Some file systems cannot flush a folder and say EINVAL; then there is nothing more to be done.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw StorageError(code: errno, doing: "flush it to the disk", path: folder)
        }
    }

    /// Hidden, in the same folder (a rename cannot cross file systems), and recognisable by `removeLeftovers`.
    private static func temporaryPath(for path: String) -> String {
        let mark = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        return "\(folder(of: path))/.\(name(of: path)).\(mark).tmp"
    }

    /// Removes what a crash between writing aside and putting in place has left. Only for whoever holds the home's
    /// lock.
    static func removeLeftovers(of path: String) {
        let folder = folder(of: path)
        let prefix = ".\(name(of: path))."
        // A folder that cannot be listed shows up as an error in the next real operation on it.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where name.hasPrefix(prefix) && name.hasSuffix(".tmp") {
            unlink("\(folder)/\(name)")
        }
    }
}
