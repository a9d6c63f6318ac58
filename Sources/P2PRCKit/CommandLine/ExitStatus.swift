internal import PeerWire

/// How a command ended, for scripts. The table of docs/cli.md; the numbers never change their meaning.
public enum ExitStatus: Int32, Sendable, CaseIterable, Codable {
    case success = 0
    /// Something that should not happen did.
    case failure = 1
    /// No node runs with this home.
    case notRunning = 10
    /// The relay refused: a limit, or something it does not carry.
    case refused = 11
    case noPortFree = 12
    /// The very port that was asked for is used, or leased to another node.
    case portTaken = 13
    case targetDown = 14
    /// Agreed, but not reachable from outside.
    case unreachable = 15
    case superseded = 16
    case serverPortInUse = 17
    case homeInUse = 18
    case homeUnusable = 19
    case timedOut = 21
    /// No mapping, or more than one, fits what was named.
    case notFound = 22
    /// A receipt is none, or is not what relay and peer signed.
    case notVerified = 23
    /// The command line is wrong (EX_USAGE).
    case usage = 64
    /// A file of the home is damaged and must not be replaced (EX_DATAERR).
    case damaged = 65
    /// There is no relay, or none answers (EX_UNAVAILABLE).
    case relayUnavailable = 69

    /// One line of the table.
    public var meaning: String {
        switch self {
        case .success: "done"
        case .failure: "internal error"
        case .notRunning: "no node runs with this home"
        case .refused: "the relay refused"
        case .noPortFree: "no public port is free"
        case .portTaken: "that public port is taken"
        case .targetDown: "the service does not answer"
        case .unreachable: "agreed, but not reachable from outside"
        case .superseded: "another process with this node's key took over"
        case .serverPortInUse: "the server port is in use"
        case .homeInUse: "another p2prc runs with this home"
        case .homeUnusable: "the home cannot be used"
        case .timedOut: "not settled in time"
        case .notFound: "nothing, or more than one thing, has that name"
        case .notVerified: "a receipt does not verify"
        case .usage: "wrong command line"
        case .damaged: "a file is damaged and must not be replaced"
        case .relayUnavailable: "no relay, or none that answers"
        }
    }
}

/// A command that could not be carried out: one line that says what, to what, and what to do next.
public struct CommandError: Error, Sendable {
    public var status: ExitStatus
    public var text: String

    public init(_ status: ExitStatus, _ text: String) {
        self.status = status
        // Whatever was typed or read.
        self.text = text.split(separator: "\n", omittingEmptySubsequences: false).map { PlainText.spelled(String($0)) }
            .joined(separator: "\n")
    }
}
