import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("One question and one answer over a Unix socket", .serialized)
struct UnixExchangeTests {
    /// Answers the first `count` bytes of a question by `answer`; `nil`: never.
    private func serve(
        _ loop: EventLoop, at path: String, answer: (@Sendable ([UInt8]) -> [UInt8])?
    ) throws -> Handed<Listener> {
        let listener = Handed(try Listener.unix(path: path))
        try loop.run {
            try listener.value.accept(on: loop) { stream, _ in
                let channel = ByteChannel(on: loop, stream)
                channel.start { event in
                    guard case .received(let bytes) = event, let answer else { return }
                    channel.send(answer(bytes))
                    channel.closeAfterFlush()
                }
            }
        }
        return listener
    }

    /// Somebody answers in a folder of its own while `body` asks.
    private func served(
        by answer: (@Sendable ([UInt8]) -> [UInt8])?, _ body: (_ path: String) throws -> Void
    ) throws {
        let folder = try temporaryFolder()
        let path = folder + "/s"
        let loop = try EventLoop.started()
        defer {
            loop.stop()
            unlink(path)
            rmdir(folder)
        }
        let listener = try serve(loop, at: path, answer: answer)
        try body(path)
        try loop.run { listener.value.stopAccepting() }
    }

    @Test("gives the whole answer", arguments: [0, 10, 2_000_000])
    func answers(_ size: Int) throws {
        try served(by: { bytes in bytes + Pattern(seed: 1).bytes(size) }) { path in
            let answer = try UnixExchange.exchange(path: path, sending: [1, 2], limit: .seconds(10))
            #expect(answer == [1, 2] + Pattern(seed: 1).bytes(size))
        }
    }

    @Test("reminds once of an end that is silent, and of none that answers", arguments: [true, false])
    func reminder(_ answers: Bool) throws {
        let echo: @Sendable ([UInt8]) -> [UInt8] = { bytes in bytes }
        try served(by: answers ? echo : nil) { path in
            var told = 0
            let reminder = UnixExchange.Reminder(after: .milliseconds(answers ? 10_000 : 50)) { told += 1 }
            let answer = try? UnixExchange.exchange(
                path: path, sending: [1], limit: .milliseconds(answers ? 10_000 : 300), reminder: reminder)
            #expect(answer == (answers ? [1] : nil))
            #expect(told == (answers ? 0 : 1))
        }
    }

    @Test("says that nothing listens there, be there no socket or a dead one")
    func nobody() throws {
        let folder = try temporaryFolder()
        #expect(try UnixExchange.exchange(path: folder + "/s", sending: [1], limit: .seconds(1)) == nil)
        _ = try Listener.unix(path: folder + "/s")
        #expect(try UnixExchange.exchange(path: folder + "/s", sending: [1], limit: .seconds(1)) == nil)
        unlink(folder + "/s")
        rmdir(folder)
    }

    @Test("does not wait for ever", arguments: [200, 1_100] as [UInt64])
    func limit(_ milliseconds: UInt64) throws {
        try served(by: nil) { path in
            let seconds = duration {
                #expect(throws: SystemError("recv", code: ETIMEDOUT)) {
                    try UnixExchange.exchange(path: path, sending: [1], limit: .milliseconds(milliseconds))
                }
            }
            #expect(seconds > 0.15 && seconds < 5)
        }
    }

    @Test("says when a path is too long")
    func longPath() {
        #expect(throws: SystemError("connect", code: ENAMETOOLONG)) {
            try UnixExchange.exchange(path: String(repeating: "x", count: 108), sending: [], limit: .seconds(1))
        }
    }
}
