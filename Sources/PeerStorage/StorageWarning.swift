/// Something that was wrong on the disk and has been dealt with; to be logged, not to be stopped by.
public struct StorageWarning: Hashable, Sendable, CustomStringConvertible {
    /// The file that was damaged; a fresh one takes its place.
    public let path: String
    /// Where the damaged content is kept now.
    public let movedTo: String
    /// What was wrong with it.
    public let reason: String

    public var description: String {
        "\(path) was damaged (\(reason)); it is kept as \(movedTo) and a new one is used instead"
    }
}
