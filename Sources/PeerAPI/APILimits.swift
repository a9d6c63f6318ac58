internal import NIOCore

/// What one caller may cost. All of it is judged for each connection by itself.
public struct APILimits: Hashable, Sendable {
    /// From the connection to its whole preface. The reactor writes it at once.
    public var preface = Duration.seconds(2)
    /// Between two requests of a member, and for the head of a request.
    public var idle = Duration.seconds(10)
    /// From a request's head to the last byte of its answer, the body in between.
    public var request = Duration.seconds(10)
    /// The whole life of a connection whose caller is no member; it is worth one answer.
    public var stranger = Duration.seconds(5)
    /// How long a closed connection is still read from, so that its last answer is not lost to a reset (RFC 9112,
    /// section 9.6).
    public var linger = Duration.seconds(1)
    /// How long requests in progress may go on when the server stops.
    public var farewell = Duration.seconds(2)

    /// Connections at once. One more is closed as it comes.
    public var connections = 256
    /// Bytes of a request's body.
    public var body = 64 * 1_024
    /// Bytes of a header field, or of the path.
    public var headerField = 8 * 1_024
    /// Bytes of a request's head, without punctuation.
    public var head = 16 * 1_024
    /// Header fields of a request.
    public var headerFields = 100

    public init() {}
}

extension TimeAmount {
    var milliseconds: Int64 { nanoseconds / 1_000_000 }
}
