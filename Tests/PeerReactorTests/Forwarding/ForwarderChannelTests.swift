import CLinux
import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// What `ForwarderTests` demand, over a data channel that has carried another visitor before and carries a third one
/// afterwards.
@Suite("A forwarder on a channel that is used again", .serialized)
struct ForwarderChannelTests {
    typealias Protection = ReusedChannel.Protection

    private func used(
        _ protection: Protection, smallBuffers: Bool = false, _ body: (ReusedChannel) throws -> Void
    ) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let channel = try ReusedChannel(on: loop, protection, smallBuffers: smallBuffers)
        #expect(try channel.carryAnother(), "a visitor before")
        try body(channel)
    }

    @Test("carries every byte both ways at once and ends cleanly", arguments: ForwarderTests.loads, Protection.allCases)
    func everyByte(_ load: ForwarderTests.Load, _ protection: Protection) throws {
        try used(protection, smallBuffers: load.smallBuffers) { channel in
            let passage = try channel.carry(smallBuffers: load.smallBuffers)
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
            #expect(try passage.peerEnded.next("end at the peer") == "clean")
            #expect(try passage.counted.next("counters") == [UInt64(load.toService), UInt64(load.toVisitor)])
            // Bulk over plaintext goes without frames, and takes its channel with it.
            let isBack = try channel.comesBack()
            if protection == .tls || max(load.toService, load.toVisitor) < 100_000 { #expect(isBack) }
            if isBack { #expect(try channel.carryAnother(), "a visitor after") }
        }
    }

    @Test(
        "gives bulk over plaintext to splice, and the channel with it; over TLS the channel comes back",
        arguments: Protection.allCases, [true, false])
    func bulk(_ protection: Protection, _ isUpload: Bool) throws {
        try used(protection) { channel in
            let passage = try channel.carry()
            let (source, sink) = isUpload ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
            let pattern = Pattern(seed: 13)
            let written = inBackground {
                let isSent = pattern.write(30_000_000, to: source, chunks: 70_000...70_000, seed: 1)
                source.endWriting()
                return isSent
            }
            #expect(pattern.read(from: sink, chunks: 70_000...70_000, seed: 2) == Pattern.Reading(bytes: 30_000_000))
            #expect(try written.next("end of writing"))
            // The other direction is open all the same.
            sink.send([1, 2, 3])
            sink.endWriting()
            #expect(source.drain().bytes == [1, 2, 3])
            #expect(try passage.ended.next("end") == "clean")
            #expect(try channel.comesBack() == (protection == .tls))
        }
    }

    @Test("keeps one direction open after the other has ended", arguments: Protection.allCases, [true, false])
    func halfClose(_ protection: Protection, _ isVisitorFirst: Bool) throws {
        try used(protection) { channel in
            for size in [1, 90_000] {
                let passage = try channel.carry()
                let (first, second) =
                    isVisitorFirst ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
                let pattern = Pattern(seed: 5)
                let question = inBackground { pattern.read(from: second, chunks: 1...50_000, seed: 1) }
                #expect(pattern.write(size, to: first, chunks: 1...9_000, seed: 2))
                first.endWriting()
                #expect(try question.next("question") == Pattern.Reading(bytes: size))
                let answer = inBackground { pattern.read(from: first, chunks: 1...50_000, seed: 3) }
                #expect(pattern.write(size, to: second, chunks: 1...9_000, seed: 4))
                #expect(passage.ended.count == 0)
                second.close()
                #expect(try answer.next("answer") == Pattern.Reading(bytes: size))
                #expect(try passage.ended.next("end") == "clean")
                guard try channel.comesBack() else { return }
            }
        }
    }

    @Test(
        "carries a reset through as a reset; the channel serves the next one, unless the first had said that he ends",
        arguments: [true, false], ["at rest", "after bytes", "half closed"])
    func reset(_ isVisitorFirst: Bool, _ moment: String) throws {
        for protection in Protection.allCases {
            try used(protection) { channel in
                let passage = try channel.carry()
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
                #expect(try passage.peerEnded.next("end at the peer") == "aborted")
                let code = second.send([9]) ? second.drain().end : .reset
                #expect(code == .reset)
                guard try channel.comesBack() else { return #expect(moment == "half closed") }
                #expect(moment != "half closed")
                try expectService(channel)
            }
        }
    }

    @Test(
        "breaks off what the other side has ended already",
        arguments: Protection.allCases, [true, false])
    func resetAfterTheOthersEnd(_ protection: Protection, _ isVisitorFirst: Bool) throws {
        try used(protection) { channel in
            let passage = try channel.carry()
            let (first, second) =
                isVisitorFirst ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
            second.send([7])
            second.endWriting()
            #expect(first.drain().bytes == [7])
            first.reset()
            #expect(try passage.ended.next("end") == "aborted")
            #expect(try passage.peerEnded.next("end at the peer") == "aborted")
            try #require(try channel.comesBack())
            try expectService(channel)
        }
    }

    /// The next visitor on it is served.
    private func expectService(_ channel: ReusedChannel) throws {
        let passage = try channel.carry()
        passage.visitor.send([5])
        #expect(passage.service.receive(exactly: 1) == [5])
        passage.service.send([6])
        #expect(passage.visitor.receive(exactly: 1) == [6])
        for end in [passage.visitor, passage.service] { end.endWriting() }
        #expect(try passage.ended.next("end") == "clean")
        #expect(try passage.peerEnded.next("end at the peer") == "clean")
    }

    /// What the relay learns of a visitor's end at the peer: not before the target took all that he sent.
    @Test("is not given the next visitor while the target is slow to take the last of this one")
    func slowTarget() throws {
        try used(.tls) { channel in
            let passage = try channel.carry(smallBuffers: true)
            passage.service.endWriting()
            #expect(passage.visitor.drain().bytes == [])
            let pattern = Pattern(seed: 17)
            let total = 60_000
            let written = inBackground { pattern.write(total, to: passage.visitor, chunks: 1...9_000, seed: 1) }
            #expect(try written.next("end of writing"))
            passage.visitor.endWriting()
            #expect(try passage.ended.next("end at the relay") == "clean")
            try channel.loop.run {}
            #expect(passage.peerEnded.count == 0)
            #expect(pattern.read(from: passage.service, chunks: 1...900, seed: 2) == Pattern.Reading(bytes: total))
            #expect(try passage.peerEnded.next("end at the peer") == "clean")
            #expect(try channel.comesBack())
            #expect(try channel.carryAnother(), "a visitor after")
        }
    }

    @Test("carries a reset in the middle of bulk through as a reset", arguments: Protection.allCases, [true, false])
    func resetInBulk(_ protection: Protection, _ isVisitorGone: Bool) throws {
        try used(protection) { channel in
            let passage = try channel.carry()
            let (writer, reader) =
                isVisitorGone ? (passage.service, passage.visitor) : (passage.visitor, passage.service)
            let pattern = Pattern(seed: 7)
            let written = inBackground { pattern.write(1 << 30, to: writer, chunks: 70_000...70_000, seed: 1) }
            #expect(reader.receive(exactly: 5_000_000).count == 5_000_000)
            reader.reset()
            #expect(try !written.next("end of writing"))
            #expect(try passage.ended.next("end") == "aborted")
            #expect(try passage.peerEnded.next("end at the peer") == "aborted")
            _ = try channel.comesBack()
        }
    }

    @Test("breaks both sides off when told to", arguments: Protection.allCases, [true, false])
    func abort(_ protection: Protection, _ isAtRelay: Bool) throws {
        try used(protection) { channel in
            let passage = try channel.carry()
            try passage.abort(atRelay: isAtRelay)
            #expect(passage.visitor.drain().end == .reset)
            #expect(passage.service.drain().end == .reset)
            #expect(try !channel.comesBack())
        }
    }

    @Test("delivers what arrived before a reset, then resets", arguments: Protection.allCases)
    func answerBeforeReset(_ protection: Protection) throws {
        try used(protection) { channel in
            let passage = try channel.carry()
            let hold = Awaited<Void>()
            channel.loop.execute { _ = try? hold.next("go-ahead") }
            passage.visitor.send([UInt8](repeating: 1, count: 1_000))
            passage.service.send([7, 7, 7])
            passage.service.reset()
            hold.tell(())
            let (bytes, end) = passage.visitor.drain()
            #expect(bytes == [7, 7, 7])
            #expect(end == .reset)
            #expect(try passage.ended.next("end") == "aborted")
            try #require(try channel.comesBack())
            try expectService(channel)
        }
    }

    @Test("stops reading when the other side does, and goes on when it does", arguments: Protection.allCases)
    func backpressure(_ protection: Protection) throws {
        try used(protection, smallBuffers: true) { channel in
            let passage = try channel.carry(smallBuffers: true)
            let pattern = Pattern(seed: 9)
            let total = 6 << 20
            let written = inBackground {
                let isSent = pattern.write(total, to: passage.visitor, chunks: 1...70_000, seed: 1)
                passage.visitor.endWriting()
                return isSent
            }
            var last: UInt64 = 0
            var sameFor = 0
            try eventually("reading stopped") {
                let bytes = try passage.bytesFromVisitor
                sameFor = bytes == last && bytes > 0 ? sameFor + 1 : 0
                last = bytes
                return sameFor > 100
            }
            #expect(last < 3 << 20)
            #expect(written.count == 0)
            #expect(pattern.read(from: passage.service, chunks: 1...70_000, seed: 2) == Pattern.Reading(bytes: total))
            #expect(try written.next("end of writing"))
            passage.service.endWriting()
            #expect(try passage.ended.next("end") == "clean")
            let left = try channel.loop.run { channel.loop.buffered }
            #expect(left == 0)
        }
    }

    @Test("is held to an allowance, and counts payload alone", arguments: Protection.allCases)
    func allowance(_ protection: Protection) throws {
        try used(protection) { channel in
            let passage = try channel.carry(allowance: Rate(perSecond: 2_000_000))
            let pattern = Pattern(seed: 21)
            let begin = SystemClock.now
            for end in [passage.visitor, passage.service] {
                _ = inBackground {
                    _ = pattern.write(3_000_000, to: end, chunks: 1...70_000, seed: 1)
                    end.endWriting()
                }
            }
            let atService = inBackground { pattern.read(from: passage.service, chunks: 1...70_000, seed: 2) }
            let atVisitor = inBackground { pattern.read(from: passage.visitor, chunks: 1...70_000, seed: 3) }
            #expect(try atService.next("at the service") == Pattern.Reading(bytes: 3_000_000))
            #expect(try atVisitor.next("at the visitor") == Pattern.Reading(bytes: 3_000_000))
            #expect(try passage.ended.next("end") == "clean")
            #expect(SystemClock.now - begin >= .milliseconds(490))
            #expect(try passage.counted.next("counters") == [3_000_000, 3_000_000])
        }
    }

    @Test("sends early frames first", arguments: Protection.allCases)
    func early(_ protection: Protection) throws {
        try used(protection) { channel in
            let pattern = Pattern(seed: 10)
            let passage = try channel.carry(early: ChannelFrame.framed(pattern.bytes(50_000)))
            passage.visitor.send(pattern.withBytes(at: 50_000, 5) { Array($0) })
            passage.visitor.endWriting()
            #expect(pattern.read(from: passage.service, chunks: 1...9_000, seed: 1) == Pattern.Reading(bytes: 50_005))
            passage.service.close()
            #expect(try passage.ended.next("end") == "clean")
            #expect(try channel.comesBack())
        }
    }
}
