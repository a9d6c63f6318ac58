import CLinux
import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("A forwarder", .serialized)
struct ForwarderTests {
    struct Load: CustomStringConvertible, Sendable {
        var name: String
        var toService: Int
        var toVisitor: Int
        var writes: ClosedRange<Int>
        var reads: ClosedRange<Int>
        var smallBuffers = false
        var description: String { name }
    }

    static let loads = [
        Load(name: "nothing at all", toService: 0, toVisitor: 0, writes: 1...2, reads: 1...2),
        Load(name: "one byte each", toService: 1, toVisitor: 1, writes: 1...1, reads: 1...10),
        Load(name: "a question and an answer", toService: 700, toVisitor: 14_000, writes: 1...900, reads: 1...4_000),
        Load(
            name: "exactly one buffer", toService: 65_536, toVisitor: 65_536, writes: 65_536...65_536,
            reads: 1...9_999),
        Load(name: "copied pieces", toService: 900_000, toVisitor: 700_000, writes: 1...9_000, reads: 1...9_000),
        Load(
            name: "spliced bulk both ways", toService: 40_000_000, toVisitor: 33_333_333, writes: 30_000...70_000,
            reads: 30_000...70_000),
        Load(
            name: "bulk one way against a trickle", toService: 20_000_000, toVisitor: 30_000, writes: 1...70_000,
            reads: 1...70_000),
        Load(
            name: "slow readers", toService: 1_500_000, toVisitor: 1_200_000, writes: 1...70_000, reads: 1...3_000,
            smallBuffers: true),
    ]

    @Test("carries every byte both ways at once and ends cleanly", arguments: loads, [0, 1, 2, 3])
    func everyByte(_ load: Load, _ kinds: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(
            on: loop, left: kinds & 1 == 0 ? .tcp : .unix, right: kinds & 2 == 0 ? .tcp : .unix,
            smallBuffers: load.smallBuffers)
        let (question, answer) = (Pattern(seed: 11), Pattern(seed: 12))
        let written = inBackground {
            let isSent = question.write(load.toService, to: passage.visitor, chunks: load.writes, seed: 1)
            passage.visitor.endWriting()
            return isSent
        }
        let answered = inBackground {
            let isSent = answer.write(load.toVisitor, to: passage.service, chunks: load.writes, seed: 2)
            passage.service.endWriting()
            return isSent
        }
        let atService = inBackground { question.read(from: passage.service, chunks: load.reads, seed: 3) }
        let atVisitor = inBackground { answer.read(from: passage.visitor, chunks: load.reads, seed: 4) }
        #expect(try written.next("end of the question"))
        #expect(try answered.next("end of the answer"))
        #expect(try atService.next("end at the service") == Pattern.Reading(bytes: load.toService))
        #expect(try atVisitor.next("end at the visitor") == Pattern.Reading(bytes: load.toVisitor))
        #expect(try passage.ended.next("end") == "clean")
        #expect(try passage.counted.next("counters") == [UInt64(load.toService), UInt64(load.toVisitor)])
    }

    @Test("keeps one direction open after the other has ended", arguments: [true, false], [100, 3_000_000])
    func halfClose(_ isVisitorFirst: Bool, _ size: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        let (first, second) =
            isVisitorFirst ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
        let pattern = Pattern(seed: 5)
        let question = inBackground { pattern.read(from: second, chunks: 1...50_000, seed: 1) }
        #expect(pattern.write(size, to: first, chunks: 1...50_000, seed: 2))
        first.endWriting()
        // Only after the end has arrived does the answer begin.
        #expect(try question.next("question") == Pattern.Reading(bytes: size))
        let answer = inBackground { pattern.read(from: first, chunks: 1...50_000, seed: 3) }
        #expect(pattern.write(size, to: second, chunks: 1...50_000, seed: 4))
        #expect(passage.ended.count == 0)
        second.close()
        #expect(try answer.next("answer") == Pattern.Reading(bytes: size))
        #expect(try passage.ended.next("end") == "clean")
    }

    @Test("delivers the last bytes, however many are still queued when the end comes", arguments: [1_000, 2_000_000])
    func queuedAtTheEnd(_ size: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop, smallBuffers: true)
        let pattern = Pattern(seed: 6)
        passage.service.endWriting()
        let written = inBackground {
            let isSent = pattern.write(size, to: passage.visitor, chunks: 1...70_000, seed: 1)
            passage.visitor.endWriting()
            return isSent
        }
        if size < 4_000 { #expect(try written.next("end of writing")) }
        let reading = inBackground { pattern.read(from: passage.service, chunks: 1...4_000, seed: 2) }
        #expect(try reading.next("reading") == Pattern.Reading(bytes: size))
        #expect(try passage.ended.next("end") == "clean")
    }

    @Test("carries a reset through as a reset", arguments: [true, false], ["at rest", "after bytes", "half closed"])
    func reset(_ isVisitorFirst: Bool, _ moment: String) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        let (first, second) =
            isVisitorFirst ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
        if moment == "after bytes" {
            first.send([1, 2, 3])
            #expect(second.receive(exactly: 3) == [1, 2, 3])
            second.send([4])
            #expect(first.receive(exactly: 1) == [4])
        }
        if moment == "half closed" {
            first.endWriting()
            #expect(second.receive(1) == [])
        }
        first.reset()
        #expect(try passage.ended.next("end") == "aborted")
        let code = second.send([9]) ? second.drain().end : .reset
        #expect(code == .reset)
    }

    @Test("carries a reset in the middle of a bulk transfer through as a reset", arguments: [true, false])
    func resetInBulk(_ isWriterTheOne: Bool) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        let pattern = Pattern(seed: 7)
        let written = inBackground { pattern.write(1 << 30, to: passage.visitor, chunks: 70_000...70_000, seed: 1) }
        if isWriterTheOne {
            let read = inBackground { pattern.read(from: passage.service, chunks: 70_000...70_000, seed: 1) }
            try eventually("megabytes under way") { try passage.bytesLeftToRight > 5_000_000 }
            clinux_reset_on_close(passage.visitor.fd, 1)
            shutdown(passage.visitor.fd, Int32(SHUT_RD))
            // The writer still holds its descriptor; an abortive disconnect is what its end would be.
            var nowhere = sockaddr()
            nowhere.sa_family = sa_family_t(AF_UNSPEC)
            connect(passage.visitor.fd, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
            let reading = try read.next("end at the reader")
            #expect(reading.end == .reset)
            #expect(reading.wrongAt == nil)
        } else {
            #expect(passage.service.receive(exactly: 5_000_000).count == 5_000_000)
            passage.service.reset()
        }
        #expect(try !written.next("end of writing"))
        #expect(try passage.ended.next("end") == "aborted")
    }

    /// splice(2) knows no MSG_NOSIGNAL; a visitor who had ended its direction before its reset brings EPIPE.
    @Test("survives a visitor who ended, then reset, while bulk is spliced to it")
    func brokenPipe() async {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_DFL)
            let loop = try EventLoop.started()
            for round in 0..<40 {
                let passage = try Passage(on: loop)
                passage.visitor.endWriting()
                let pattern = Pattern(seed: 8)
                let written = inBackground {
                    pattern.write(1 << 30, to: passage.service, chunks: 70_000...70_000, seed: 1)
                }
                _ = passage.visitor.receive(exactly: 3_000_000 + round * 10_000)
                passage.visitor.reset()
                _ = try written.next("end of writing")
                _ = try passage.ended.next("end")
            }
        }
    }

    @Test("delivers what arrived before a reset, then resets")
    func answerBeforeReset() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        // As a server does that refuses a large upload: it answers and closes with the upload unread.
        let hold = Awaited<Void>()
        loop.execute { _ = try? hold.next("go-ahead") }
        passage.visitor.send([UInt8](repeating: 1, count: 1_000))
        passage.service.send([7, 7, 7])
        passage.service.reset()
        hold.tell(())
        let (bytes, end) = passage.visitor.drain()
        #expect(bytes == [7, 7, 7])
        #expect(end == .reset)
        #expect(try passage.ended.next("end") == "aborted")
    }

    @Test("breaks both sides off when told to")
    func abort() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        try passage.abort()
        #expect(passage.visitor.drain().end == .reset)
        #expect(passage.service.drain().end == .reset)
        #expect(try passage.ended.next("end") == "aborted")
    }

    @Test("stops reading when the other side does, and goes on when it does", arguments: [true, false])
    func backpressure(_ isBulk: Bool) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop, smallBuffers: !isBulk)
        let pattern = Pattern(seed: 9)
        let total = isBulk ? 64 << 20 : 6 << 20
        let written = inBackground {
            let isSent = pattern.write(total, to: passage.visitor, chunks: 1...70_000, seed: 1)
            passage.visitor.endWriting()
            return isSent
        }
        var last: UInt64 = 0
        var sameFor = 0
        try eventually("reading stopped") {
            let bytes = try passage.bytesLeftToRight
            sameFor = bytes == last && bytes > 0 ? sameFor + 1 : 0
            last = bytes
            return sameFor > 100
        }
        // The sockets' own buffers, and no more than a buffer or a pipe of ours.
        #expect(last < (isBulk ? 20 << 20 : 2 << 20))
        #expect(written.count == 0)
        let reading = pattern.read(from: passage.service, chunks: 1...70_000, seed: 2)
        #expect(reading == Pattern.Reading(bytes: total))
        #expect(try written.next("end of writing"))
    }

    @Test("sends early bytes first", arguments: [1, 100_000])
    func early(_ size: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let pattern = Pattern(seed: 10)
        let passage = try Passage(on: loop, early: pattern.bytes(size))
        passage.visitor.send(pattern.withBytes(at: size, 5) { Array($0) })
        passage.visitor.endWriting()
        #expect(pattern.read(from: passage.service, chunks: 1...9_000, seed: 1) == Pattern.Reading(bytes: size + 5))
        passage.service.close()
        #expect(try passage.ended.next("end") == "clean")
    }

    /// TCP's urgent mark cuts reads short; whoever trusts a short read would wait for ever.
    @Test("is not stopped by urgent bytes, and loses none", arguments: [false, true])
    func urgent(_ isBulk: Bool) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        let block = [UInt8](repeating: 3, count: isBulk ? 1_000_000 : 100)
        let written = inBackground {
            for _ in 0..<20 {
                passage.visitor.send(block)
                passage.visitor.send([4], flags: Int32(MSG_OOB))
                passage.visitor.send([5, 5])
            }
            passage.visitor.endWriting()
        }
        for round in 0..<20 {
            let isSame = passage.service.receive(exactly: block.count) == block
            #expect(isSame, "block \(round)")
            #expect(passage.service.receive(exactly: 3) == [4, 5, 5])
        }
        #expect(passage.service.drain().end == .clean)
        try written.next("end of writing")
    }
}
