import PeerWire
import Testing

@testable import PeerReactor

/// A visitor who is reset, at one end of a channel with frames, with a test as the other node.
extension ChannelFramesTests {
    @Test(
        "a visitor's reset is told, what still comes for him is passed over, and the channel comes back",
        arguments: ["at once", "after bytes", "cut", "said end before", "had ended himself"])
    func visitorResets(_ how: String) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: false)
            end.edge.send([1])
            #expect(end.other.receive(exactly: 5) == ChannelFrame.framed([1]))
            if how == "said end before" {
                end.other.send(ChannelFrame.end)
                #expect(end.edge.drain().bytes == [])
            }
            if how == "had ended himself" {
                end.edge.endWriting()
                #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
            }
            end.edge.reset()
            if how != "had ended himself" { #expect(end.other.receive(exactly: 4) == ChannelFrame.broken) }
            #expect(try end.ended.next("end") == "aborted")
            switch how {
            case "after bytes": end.other.send(ChannelFrame.framed([5, 6]) + ChannelFrame.broken + ChannelFrame.ready)
            case "cut":
                for byte in ChannelFrame.framed([5, 6]) + ChannelFrame.end + ChannelFrame.ready {
                    end.other.send([byte])
                    try loop.run {}
                }
            case "had ended himself":
                end.other.send(ChannelFrame.framed([5, 6]) + ChannelFrame.end + ChannelFrame.ready)
            case "said end before": end.other.send(ChannelFrame.ready)
            default: end.other.send(ChannelFrame.broken + ChannelFrame.ready)
            }
            let (channel, rest) = try end.back.next("channel")
            #expect(channel != nil)
            #expect(ChannelFrame.ready.starts(with: rest))
        }
    }

    @Test(
        "at the peer, a visitor who was reset resets his target, and the next one is asked for",
        arguments: [true, false])
    func toldOfReset(_ hasTargetEnded: Bool) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: true)
            end.other.send(ChannelFrame.framed([5]))
            #expect(end.edge.receive(exactly: 1) == [5])
            if hasTargetEnded {
                end.edge.endWriting()
                #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
            }
            end.other.send(ChannelFrame.framed([6]) + ChannelFrame.broken)
            #expect(end.edge.drain().end == .reset)
            if !hasTargetEnded { #expect(end.other.receive(exactly: 4) == ChannelFrame.broken) }
            #expect(end.other.receive(exactly: 4) == ChannelFrame.ready)
            #expect(try end.ended.next("end") == "aborted")
            let (channel, rest) = try end.back.next("channel")
            #expect(channel != nil && rest.isEmpty)
        }
    }

    @Test("at the peer, the reset of a target that had ended before reaches the visitor by the channel's reset")
    func targetResetsAfterItsEnd() throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: true)
            end.other.send(ChannelFrame.framed([5]))
            #expect(end.edge.receive(exactly: 1) == [5])
            end.edge.endWriting()
            #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
            end.edge.reset()
            #expect(try end.back.next("channel").0 == nil)
            #expect(end.other.drain().end == .reset)
        }
    }

    @Test("at the peer, a target's reset is told after what it sent, and the channel is ready when all was said")
    func targetResets() throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: true)
            end.edge.send([7])
            #expect(end.other.receive(exactly: 5) == ChannelFrame.framed([7]))
            end.edge.reset()
            #expect(end.other.receive(exactly: 4) == ChannelFrame.broken)
            end.other.send(ChannelFrame.framed([1, 2, 3]))
            end.other.send(ChannelFrame.broken)
            #expect(end.other.receive(exactly: 4) == ChannelFrame.ready)
            let (channel, rest) = try end.back.next("channel")
            #expect(channel != nil && rest.isEmpty)
        }
    }

    @Test(
        "a reset that cannot be told or is not answered in time, or too late, closes the channel",
        arguments: ["had ended himself", "no answer", "too much", "breach", "raw", "FIN"])
    func notRecovered(_ what: String) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: false)
            end.edge.send([1])
            #expect(end.other.receive(exactly: 5) == ChannelFrame.framed([1]))
            if what == "had ended himself" {
                end.edge.endWriting()
                #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
            }
            end.edge.reset()
            if what != "had ended himself" { #expect(end.other.receive(exactly: 4) == ChannelFrame.broken) }
            switch what {
            case "too much":
                let bytes = ChannelFrame.framed([UInt8](repeating: 1, count: 60_000))
                _ = inBackground { for _ in 0..<5 { end.other.send(bytes) } }
            case "breach": end.other.send([0])
            case "raw": end.other.send(ChannelFrame.raw)
            case "FIN": end.other.endWriting()
            default: break
            }
            #expect(try end.back.next("channel").0 == nil)
            #expect(end.other.drain().end == .reset)
        }
    }
}
