import PeerCore
import Testing

@testable import PeerReactor

/// How much waits in this process when whoever is sent to stops reading.
@Suite("A forwarder whose sink is full", .serialized)
struct ForwarderRoomTests {
    private static let total = 64 << 20
    /// What may wait at one end, of the 64 KiB that may be read at once. The system's word for its room is the memory
    /// that segments take, not their bytes: on a busy machine they are small, and some KiB fewer fit (6.3 were seen).
    private static let most = 16_384

    /// The service sends on and on, and nobody reads; what waits then.
    private func stalled(
        _ loop: EventLoop, _ service: TestSocket, _ pattern: Pattern, moved: @escaping () throws -> UInt64
    ) throws -> (waiting: Int, written: Awaited<Bool>) {
        let written = inBackground {
            let isSent = pattern.write(Self.total, to: service, chunks: 60_000...70_000, seed: 1)
            service.endWriting()
            return isSent
        }
        var last: UInt64 = 0
        var sameFor = 0
        try eventually("nothing moves any more") {
            let bytes = try moved()
            sameFor = bytes == last && bytes > 0 ? sameFor + 1 : 0
            last = bytes
            return sameFor > 100
        }
        #expect(written.count == 0)
        return (try loop.run { loop.buffered }, written)
    }

    @Test("reads hardly more than the sink has room for, and the rest when it reads on")
    func copies() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        let pattern = Pattern(seed: 41)
        // Held to a rate, however high, it is copied and never spliced.
        try passage.hold(to: Rate(perSecond: 2_000_000_000))
        let (waiting, written) = try stalled(loop, passage.service, pattern) { try passage.bytesRightToLeft }
        #expect(waiting <= Self.most)
        let reading = pattern.read(from: passage.visitor, chunks: 1...70_000, seed: 2)
        #expect(reading == Pattern.Reading(bytes: Self.total))
        #expect(try written.next("end of writing"))
    }

    @Test("does so at both ends of a data channel", arguments: ReusedChannel.Protection.allCases)
    func channels(_ protection: ReusedChannel.Protection) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let channel = try ReusedChannel(on: loop, protection)
        let carriage = try channel.carry(allowance: Rate(perSecond: 2_000_000_000))
        let pattern = Pattern(seed: 42)
        let (waiting, written) = try stalled(loop, carriage.service, pattern) { try carriage.bytesToVisitor }
        // Of both ends together. Under TLS the peer has it sealed, too, and at the relay wait the rest of one record
        // and the part of another.
        #expect(waiting <= (protection == .plain ? 2 * Self.most : 65_536))
        let reading = pattern.read(from: carriage.visitor, chunks: 1...70_000, seed: 2)
        #expect(reading == Pattern.Reading(bytes: Self.total))
        #expect(try written.next("end of writing"))
        carriage.visitor.endWriting()
        #expect(try carriage.ended.next("end") == "clean")
        let left = try loop.run { loop.buffered }
        #expect(left == 0)
    }
}
