/// Why the API cannot be served: one line that says what, where, and what to do next.
public struct APIError: Error, Hashable, Sendable, CustomStringConvertible {
    public let text: String

    init(_ text: String) { self.text = text }

    public var description: String { text }
}
