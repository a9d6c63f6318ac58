/// A stream on its way from one loop to another, in closures that have to be `Sendable`. It is reset where it never
/// arrives: a loop that has ended drops its jobs.
public final class StreamParcel: @unchecked Sendable {
    // Unchecked: packed by one thread and opened by another one, and touched by nobody in between.
    private var stream: Stream?

    /// - Parameter stream: registered with no loop.
    public init(_ stream: consuming Stream?) { self.stream = consume stream }

    /// What is inside, once; `nil` after that.
    public func open() -> Stream? { stream.take() }
}

/// A connection that was accepted, with where it comes from.
public struct AcceptedConnection: Sendable {
    let parcel: StreamParcel
    let address: SocketAddress
}
