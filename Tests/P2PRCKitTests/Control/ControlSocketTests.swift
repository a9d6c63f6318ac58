import Foundation
import PeerCore
import PeerReactor
import Synchronization
import Testing

@testable import P2PRCKit

@Suite("The control socket")
struct ControlSocketTests {
    /// Answers each question after 100 ms, and counts them.
    private final class Node: @unchecked Sendable {
        // Unchecked: all but the count belongs to the loop's thread.
        let asked = Mutex(0)
        let loop: EventLoop
        var server: ControlServer<Node>?

        init(on loop: EventLoop) { self.loop = loop }
    }

    private struct Asking: Verb {
        static let name = "status"

        func perform(in node: Node, _ answer: @escaping (ControlReply) -> Void) {
            node.asked.withLock { $0 += 1 }
            node.loop.schedule(after: .milliseconds(100)) {
                answer(ControlReply(status: .success, text: "so it is", document: nil))
            }
        }
    }

    private func on(_ loop: EventLoop, _ body: @escaping @Sendable () -> Void) {
        let done = DispatchSemaphore(value: 0)
        loop.execute {
            body()
            done.signal()
        }
        done.wait()
    }

    /// One that answers each question after 100 ms, and how many it was asked.
    private func serve(_ body: (_ path: String) throws -> Void) throws -> Int {
        let loop = try EventLoop()
        try loop.start()
        defer { loop.stop() }
        let path = "\(NSTemporaryDirectory())/p2prc-\(UUID().uuidString).sock"
        defer { unlink(path) }
        let node = Node(on: loop)
        on(loop) {
            node.server = try? ControlServer(
                on: loop, path: path, patience: .milliseconds(200), verbs: VerbTable([Asking.self]), of: node)
            try? node.server?.start()
        }
        try body(path)
        on(loop) { node.server?.stop() }
        return node.asked.withLock { $0 }
    }

    @Test("who asks nothing, or not all of it, is closed after a while")
    func silence() throws {
        let asked = try serve { path in
            for bytes in [[], Array("{".utf8)] {
                let answer = try UnixExchange.exchange(path: path, sending: bytes, limit: .seconds(10))
                #expect(answer == [])
            }
        }
        #expect(asked == 0)
    }

    @Test("what comes behind a question is passed over, and the answer may take longer than a question")
    func oneQuestion() throws {
        let question = try VerbTable<Node>.line(of: Asking()).dropLast()
        let asked = try serve { path in
            let bytes = Array(question) + Array(repeating: UInt8(ascii: "\n"), count: 300_000)
            let answer = try #require(try UnixExchange.exchange(path: path, sending: bytes, limit: .seconds(10)))
            #expect(String(decoding: answer, as: UTF8.self).contains("so it is"))
        }
        #expect(asked == 1)
    }
}
