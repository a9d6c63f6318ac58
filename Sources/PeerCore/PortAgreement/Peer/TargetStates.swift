/// What is known of the service behind each port of a mapping; by how many ports it is after the first one.
public struct TargetStates: Hashable, Sendable {
    /// Those that answered.
    public var answering: Set<UInt16>
    /// Those that did not, and what is to be said of it. Of all others nothing is known yet.
    public var silent: [UInt16: String]

    public init(answering: Set<UInt16> = [], silent: [UInt16: String] = [:]) {
        self.answering = answering
        self.silent = silent
    }

    /// All of so many ports answer.
    public static func answering(_ count: Int) -> TargetStates {
        TargetStates(answering: Set((0..<count).map { UInt16($0) }))
    }
}
