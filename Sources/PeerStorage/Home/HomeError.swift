/// Why a home cannot be used. `description` is one line: what happened, to which folder, and what to do next.
public enum HomeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no such folder (only when it may not be created).
    case missing(path: String)
    /// Nothing says where it is.
    case unnamed
    /// It belongs to another user, and this one may not look into it.
    case anothers(path: String)
    /// Something else than a folder has that name.
    case notADirectory(path: String)
    case cannotCreate(path: String, reason: String)
    case notWritable(path: String, reason: String)
    /// The path of one of its sockets is longer than the system allows.
    case tooDeep(path: String, socket: String)
    /// Another process runs with this home; its number where it could be read.
    case inUse(path: String, pid: Int32?)
    case cannotLock(path: String, reason: String)

    public var description: String {
        switch self {
        case .missing(let path):
            "\(path): there is no such folder; start a node with this home first, or choose another --home"
        case .unnamed:
            "no home is known: HOME is not set, and this user has no home folder; name one: --home DIR, or P2PRC=DIR"
        case .anothers(let path):
            "\(path): it belongs to another user; run p2prc as that user (sudo -u USER p2prc ...), "
                + "or choose another --home"
        case .notADirectory(let path):
            "\(path): it is not a folder; move it away, or choose another --home"
        case .cannotCreate(let path, let reason):
            "\(path): cannot create this folder: \(reason); create it yourself, or choose another --home"
        case .notWritable(let path, let reason):
            "\(path): cannot write in this folder: \(reason); "
                + "make it belong to the user that runs p2prc, or choose another --home"
        case .tooDeep(let path, let socket):
            "\(path): too deep for a socket: '\(socket)' has \(socket.utf8.count) bytes and the system allows "
                + "\(HomePaths.longestSocketPath); choose a --home with a shorter path"
        case .inUse(let path, let pid):
            "\(path): in use by \(pid.map { "process \($0)" } ?? "another process"); "
                + "that node takes commands without -s (p2prc --mp 8080, p2prc join LINK); "
                + "or stop it, or choose another --home"
        case .cannotLock(let path, let reason):
            "\(path): cannot lock it: \(reason); use a --home on a local disk"
        }
    }
}
