package import Logging

extension Logger.Message {
    /// A line of the log that takes two lines of source.
    package static func + (left: Logger.Message, right: Logger.Message) -> Logger.Message { "\(left)\(right)" }
}
