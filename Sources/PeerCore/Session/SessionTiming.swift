/// Every length of time that a session depends on, on one page.
public enum SessionTiming {
    /// A peer pings its relay this often; the answers are its latency samples.
    public static let pingInterval = Instant.Span.milliseconds(500)
    // A false alarm costs little: visitors under way keep their streams, and the ports come back with the session.

    /// A peer that heard nothing for so long drops the session and dials anew.
    public static let peerPatience = Instant.Span.seconds(3)
    /// A relay that heard nothing for so long ends the session; its ports refuse from then on.
    public static let relayPatience = Instant.Span.seconds(5)
    /// From connecting to `welcome`.
    public static let handshakeLimit = Instant.Span.seconds(5)
    /// One attempt to connect, name look-up included.
    public static let connectLimit = Instant.Span.seconds(2)
    /// What is not yet known to be a session or a data channel is closed after this, TLS included. With the handshake
    /// and a second for the last words it stays below 10 s, all that a stranger gets.
    public static let strangerLimit = Instant.Span.seconds(4)
    /// First wait between two attempts; doubled each time.
    public static let firstBackoff = Instant.Span.milliseconds(50)
    /// Longest wait between the starts of two attempts.
    public static let longestBackoff = Instant.Span.seconds(2)
    /// A session that ends before it stood for so long is one more of those in a row that did; the wait behind each of
    /// them doubles up to this.
    public static let steadySession = Instant.Span.seconds(60)
    public static let longestUnsteadyBackoff = Instant.Span.seconds(10)
    /// The same where the relay took back what let this node in, or that ran out: only somebody's doing helps, and who
    /// does it here (another token, another link) has the next attempt at once.
    public static let longestUnwantedBackoff = Instant.Span.seconds(60)
}
