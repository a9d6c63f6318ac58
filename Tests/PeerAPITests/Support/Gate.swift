/// Closed until it is opened; then for good.
final class Gate: Sendable {
    private let stream = AsyncStream<Never>.makeStream()

    func open() { stream.continuation.finish() }
    func wait() async { for await _ in stream.stream {} }
}
