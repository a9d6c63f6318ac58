import Glibc

/// Why something on the disk could not be read or written. `description` is one line for people: what happened, to
/// which file, and what to do next.
///
/// Nothing here ends the process: what was on the disk before the failed call is still there.
public struct StorageError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// The file system or the quota is used up.
        case full
        /// The system forbids it: permissions, or a file system that is mounted read-only.
        case denied
        /// The file is not there.
        case missing
        /// A folder, a pipe or a device sits where a file belongs.
        case notAFile
        /// A secret that others on this machine could read.
        case exposed
        /// The content cannot be understood.
        case damaged
        /// The file was written by a newer p2prc.
        case newer
        /// Another process kept the file locked for too long.
        case busy
        /// The caller's value breaks the file's own rules: a mistake in this program.
        case invalid
        /// The home's lock is not held (any more), so nothing may be written.
        case notHeld
        /// The device or the file system failed.
        case failed
    }

    public let kind: Kind
    public let path: String
    /// What was tried and what the system said to it, without the path.
    public let detail: String
    /// What to do next, where the kind alone does not say it.
    private let advice: String?

    public init(_ kind: Kind, path: String, detail: String, advice: String? = nil) {
        self.kind = kind
        self.path = path
        self.detail = detail
        self.advice = advice
    }

    /// - Parameter code: the `errno` of the failed call.
    init(code: Int32, doing what: String, path: String) {
        let kind: Kind =
            switch code {
            case ENOSPC, EDQUOT, EFBIG: .full
            case EACCES, EPERM, EROFS: .denied
            case ENOENT, ENOTDIR: .missing
            case EISDIR, ENXIO: .notAFile
            case EAGAIN, EBUSY: .busy
            default: .failed
            }
        let advice =
            code == EMFILE || code == ENFILE
            ? "raise the limit of open files (ulimit -n, LimitNOFILE=) and try again" : nil
        self.init(kind, path: path, detail: "cannot \(what): \(Self.text(of: code))", advice: advice)
    }

    /// The system's words for an `errno`.
    static func text(of code: Int32) -> String {
        // strerror's buffer may be shared between threads; the _r variant fills one of ours.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let start = buffer.baseAddress, strerror_r(code, start, buffer.count) == 0 else {
                return "error \(code)"
            }
            return String(cString: start)
        }
    }

    public var description: String { "\(path): \(detail); \(advice ?? usualAdvice)" }

    private var usualAdvice: String {
        switch kind {
        case .full: "free some space on that file system and try again (what was there before is kept)"
        case .denied: "let the user that runs p2prc read and write it, or choose another --home"
        case .missing: "start p2prc once with this home, or choose another --home"
        case .notAFile: "move it away and try again"
        case .exposed: "make it yours alone: chmod 600 '\(path)'"
        case .damaged: "restart p2prc: it puts the file aside and begins a new one"
        case .newer: "use the p2prc that wrote it or a newer one, or choose another --home"
        case .busy: "close what else has it open and try again"
        case .invalid: "please report this as a mistake in p2prc"
        case .notHeld: "open the home again first"
        case .failed: "look at the disk (df, dmesg) and try again"
        }
    }
}
