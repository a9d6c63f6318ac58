import PeerCore

@testable import PeerReactor

/// Carries something of a loop into a job on that loop.
struct Handed<Value>: @unchecked Sendable {
    // Unchecked: a test hands it over once and looks at it on the loop alone.
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension EventLoop {
    /// - Parameter clock: a test's own time; `nil`: the system's.
    static func started(clock: ManualClock? = nil) throws -> EventLoop {
        let loop = try EventLoop(clock: clock)
        try loop.start()
        return loop
    }

    /// A loop for `body` alone; it is gone when this returns. For processes of their own that the address sanitizer
    /// watches: of an object that lives on when the process ends it takes the record of its weak references for a leak.
    static func alone(_ body: (EventLoop) throws -> Void) throws {
        func used() throws -> WeakReference {
            let loop = try started()
            defer { loop.stop() }
            try body(loop)
            return WeakReference(loop)
        }
        let loop = try used()
        try eventually("the loop is gone") { loop.isGone }
    }

    /// Runs `body` on the loop and waits for what it returns.
    @discardableResult
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
        let answer = Awaited<Swift.Result<Result, any Error>>()
        execute { answer.tell(Swift.Result { try body() }) }
        return try answer.next("answer of the loop").get()
    }
}

/// An event source that a test controls.
final class Probe: EventSource {
    private let onReady: (Readiness, UInt8) -> Void
    private let onAgain: () -> Void

    init(_ onReady: @escaping (Readiness, UInt8) -> Void, again onAgain: @escaping () -> Void = {}) {
        self.onReady = onReady
        self.onAgain = onAgain
        super.init()
    }

    override func ready(_ readiness: Readiness, tag: UInt8) { onReady(readiness, tag) }
    override func runAgain() { onAgain() }
}
