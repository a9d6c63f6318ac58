import Glibc
import PeerCore
import Testing

@testable import PeerReactor

/// A forwarder between two connections:
///
///     visitor ── left stream ▶ forwarder ◀ right stream ── service
final class Passage: Sendable {
    let visitor: TestSocket
    let service: TestSocket
    let loop: EventLoop
    let ended = Awaited<String>()
    let counted = Awaited<[UInt64]>()
    private let bound: LoopBound<Forwarder>

    init(
        on loop: EventLoop, left: TestSocket.Kind = .tcp, right: TestSocket.Kind = .tcp, early: [UInt8] = [],
        smallBuffers: Bool = false
    ) throws {
        self.loop = loop
        let (leftStream, visitor) = try TestSocket.pair(left, smallBuffers: smallBuffers)
        let (rightStream, service) = try TestSocket.pair(right, smallBuffers: smallBuffers)
        self.visitor = visitor
        self.service = service
        let ends = Handed((leftStream, rightStream))
        let ended = ended
        let counted = counted
        bound = try loop.run {
            let forwarder = ClosureForwarder(
                on: loop, left: ends.value.0.open()!, right: ends.value.1.open()!, early: early
            ) { forwarder, ending in
                counted.tell([forwarder.bytesLeftToRight, forwarder.bytesRightToLeft])
                ended.tell(Self.text(ending))
            }
            forwarder.start(isLeftRegistered: false)
            return LoopBound(forwarder, on: loop)
        }
    }

    static func text(_ ending: Forwarder.Ending) -> String {
        switch ending {
        case .clean: "clean"
        case .aborted: "aborted"
        case .neverConnected: "never connected"
        }
    }

    func hold(to allowance: (any ByteAllowance)?) throws { try loop.run { self.bound.value.allowance = allowance } }

    func abort() throws { try loop.run { self.bound.value.abort() } }

    var bytesLeftToRight: UInt64 {
        get throws { try loop.run { self.bound.value.bytesLeftToRight } }
    }

    var bytesRightToLeft: UInt64 {
        get throws { try loop.run { self.bound.value.bytesRightToLeft } }
    }
}

/// What a thread that blocks will have found.
func inBackground<Result: Sendable>(_ body: @escaping @Sendable () -> Result) -> Awaited<Result> {
    let answer = Awaited<Result>()
    // Without a thread the answer never comes, which the test says.
    try? SystemThread.detach { answer.tell(body()) }
    return answer
}
