import Foundation
import PeerCore
import PeerReactor
import Synchronization
import Testing

/// Loops whose time a test owns.
final class OwnedTime: Sendable {
    let clock = ManualClock(wall: WallTime(seconds: 1_900_000_000))

    private struct State {
        var loops: [EventLoop] = []
        var hanging: Set<ObjectIdentifier> = []
    }

    private let state = Mutex(State())

    func loop() throws -> EventLoop {
        let loop = try EventLoop(clock: clock)
        try loop.start()
        state.withLock { $0.loops.append(loop) }
        return loop
    }

    func stop() {
        for loop in state.withLock({ $0.loops }) { loop.stop() }
        state.withLock { $0.loops = [] }
    }

    /// Lets time go on in steps until something holds.
    ///
    /// - Parameters:
    ///   - limit: of the loops' time.
    ///   - step: longer where nothing but the time itself is waited for; sessions notice silence after three seconds.
    func eventually(
        _ what: String, within limit: Instant.Span = .seconds(60), step: Instant.Span = .milliseconds(20),
        _ location: SourceLocation = #_sourceLocation,
        _ holds: () throws -> Bool
    ) throws {
        let end = clock.now + limit
        while try !holds() {
            guard clock.now < end else {
                Issue.record("after \(limit): not \(what)", sourceLocation: location)
                throw NotSo(what: what)
            }
            pass(step)
        }
    }

    /// For so long, something holds.
    ///
    /// - Parameter step: how often that is looked at.
    func throughout(
        _ span: Instant.Span, _ what: String, step: Instant.Span = .milliseconds(20),
        _ location: SourceLocation = #_sourceLocation, _ holds: () throws -> Bool
    ) throws {
        let end = clock.now + span
        while clock.now < end {
            try #require(try holds(), "no longer \(what)", sourceLocation: location)
            pass(step)
        }
    }

    /// A word goes from one loop to another, is answered, and the answer is taken: three turns of each.
    private static let turns = 3

    /// However busy the machine is, no loop is left behind: time goes on only when each has done what was there to do.
    private func pass(_ span: Instant.Span) {
        clock.advance(by: span)
        for _ in 0..<Self.turns {
            let (loops, hanging) = state.withLock { ($0.loops, $0.hanging) }
            for loop in loops where !hanging.contains(ObjectIdentifier(loop)) {
                let done = DispatchSemaphore(value: 0)
                loop.execute { done.signal() }
                _ = done.wait(timeout: .now() + 30)
            }
        }
        // Disks and services have threads of their own.
        usleep(200)
    }

    /// A loop does nothing until `body` is over, and time does not wait for it.
    func whileHanging<Result>(_ loop: EventLoop, _ body: () throws -> Result) throws -> Result {
        let (begun, over) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        loop.execute {
            begun.signal()
            over.wait()
        }
        begun.wait()
        state.withLock { _ = $0.hanging.insert(ObjectIdentifier(loop)) }
        defer {
            state.withLock { _ = $0.hanging.remove(ObjectIdentifier(loop)) }
            over.signal()
        }
        return try body()
    }

    struct NotSo: Error, CustomStringConvertible {
        var what: String
        var description: String { "not \(what)" }
    }
}

/// Carries a part of a node to its loop.
struct OnLoop<Value>: @unchecked Sendable {
    // Unchecked: the value is touched in `run` alone, which is on its loop.
    private let value: Value
    private let loop: EventLoop

    init(on loop: EventLoop, _ make: @escaping @Sendable () throws -> Value) throws {
        self.loop = loop
        value = try Self.wait(on: loop, make)
    }

    /// Runs `body` on the loop and waits for what it returns.
    @discardableResult
    func run<Result>(_ body: @escaping (Value) throws -> Result) throws -> Result {
        let job = Unchecked(value: { [value] in try body(value) })
        return try Self.wait(on: loop) { try job.value() }
    }

    private struct Unchecked<Body>: @unchecked Sendable {
        // Unchecked: the caller waits until the loop has run it.
        let value: Body
    }

    private final class Box<Result>: @unchecked Sendable {
        // Unchecked: written before the semaphore is signalled, read after it.
        var result: Swift.Result<Result, any Error>?
    }

    private static func wait<Result>(
        on loop: EventLoop, _ body: @escaping @Sendable () throws -> Result
    ) throws -> Result {
        let (box, done) = (Box<Result>(), DispatchSemaphore(value: 0))
        loop.execute {
            box.result = Swift.Result { try body() }
            done.signal()
        }
        guard done.wait(timeout: .now() + 30) == .success, let result = box.result else {
            throw OwnedTime.NotSo(what: "answered by its loop")
        }
        return try result.get()
    }
}
