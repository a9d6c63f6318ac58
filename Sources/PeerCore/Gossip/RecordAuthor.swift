public import PeerWire

/// Writes a node's own records: each with a higher number than any before, over restarts too, and anew before the last
/// one expires. Also finds out when a second process runs with the same key.
public struct RecordAuthor: Sendable {
    /// Seconds that a record lives, and after which it is written anew.
    public static let lifetime: UInt32 = 3_600
    public static let renewal: Int64 = 1_200
    /// Records in a minute, and those that answer another process with this key beside them. Two processes together
    /// stay within what others take of one key (`GossipLimits.Table.renewals`), or neither would hear the other's
    /// answer.
    public static let perMinute = 4
    public static let answersPerMinute = 2
    /// Seconds that a number may be ahead of the own clock.
    static let furthestAhead: Int64 = 300

    public typealias Content = NodeRecord.Content

    public enum Finding: Hashable, Sendable {
        /// Nothing to be done.
        case own
        /// Left over from a process before this one: write anew, with a higher number.
        case writeAnew
        /// A later process has this key: this one must stop.
        case superseded
    }

    public let key: NodeKey
    private let process: NodeRecord.Process
    /// The highest number used. Whoever runs this writes it down, before the record goes out.
    public private(set) var lastIssue: UInt64
    /// Records of a later process were seen.
    private var isDoubted = false
    /// The first number written after that: whoever goes above it is alive.
    private var challenge: UInt64?
    private var last: (content: Content, issued: Int64)?
    private var recent: [Int64] = []

    /// - Parameters:
    ///   - process: this one.
    ///   - lastIssue: as it was written down, 0 if there is nothing. One that no right clock can have led to is
    ///     forgotten: others would refuse whatever goes above it.
    ///   - wall: the time now; `nil`: the number is believed as it is.
    public init(key: NodeKey, process: NodeRecord.Process, lastIssue: UInt64, at wall: WallTime? = nil) {
        self.key = key
        self.process = process
        let limit = wall.map { UInt64(max(0, $0.seconds &+ 2 * MeshClock.furthest)) * 1_000 } ?? .max
        self.lastIssue = lastIssue <= limit ? lastIssue : 0
    }

    /// The next record, if the content is another than before or the last one grows old, and it is not one too many in
    /// a minute: then ask again later.
    ///
    /// - Parameters:
    ///   - time: as the mesh has it.
    ///   - own: as the own clock has it. No number goes far beyond that: numbers are for good, and what others say of
    ///     the time is not.
    ///   - force: it answers somebody (`Finding.writeAnew`).
    public mutating func write(
        _ content: Content, time: Int64, own: Int64? = nil, force: Bool = false
    ) -> NodeRecord? {
        let content = content.fitted
        if !force, let last, last.content == content, time >= last.issued, time - last.issued < Self.renewal {
            return nil
        }
        recent.removeAll { time - $0 >= 60 || $0 > time }
        guard recent.count < (force ? Self.perMinute + Self.answersPerMinute : Self.perMinute) else { return nil }
        recent.append(time)
        // Milliseconds of the clock, the last three digits by the process: two that have one key and begin in one
        // second would otherwise have records with one number, and nobody would ever see that they differ. One more
        // where the clock is behind, or two records fall into one second.
        let dated = min(time, own.map { $0 &+ Self.furthestAhead } ?? time)
        lastIssue = max(lastIssue &+ 1, UInt64(max(0, dated)) * 1_000 + process.instance % 1_000)
        last = (content, time)
        if isDoubted, challenge == nil { challenge = lastIssue }
        return NodeRecord(
            key: key, issue: lastIssue, process: process, issued: time, lifetime: Self.lifetime, content: content.fitted
        )
    }

    /// A genuine record of this key came in from others.
    ///
    /// That a later process wrote it does not show that this is still alive: records outlive processes by an hour, and
    /// the user may have stopped the other so that this one goes on. So a number above it is written, and who answers
    /// with a higher one is there.
    public mutating func found(_ record: NodeRecord) -> Finding {
        guard record.key == key, record.process.instance != process.instance else { return .own }
        let others = (record.process.began, record.process.instance)
        let isLater = others > (process.began, process.instance)
        if isLater, let challenge, record.issue > challenge { return .superseded }
        guard record.issue >= lastIssue else { return .own }
        lastIssue = record.issue
        if isLater { isDoubted = true }
        return .writeAnew
    }
}
