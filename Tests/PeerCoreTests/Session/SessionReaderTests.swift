import PeerCore
import PeerWire
import Testing

/// What a peer makes of the bytes that come from a relay.
@Suite struct SessionReaderTests {
    private let pong = RelayMessage.pong(7).bytes

    private func frames(_ reader: inout SessionReader, at now: Instant = .at(1_000)) throws -> Int {
        var count = 0
        while case .frame = try reader.next(at: now) { count += 1 }
        return count
    }

    @Test func `frames come whole, however the bytes come`() throws {
        for piece in [1, 2, 3, 5, 100] {
            var reader = SessionReader()
            var count = 0
            var rest = (pong + pong + pong)[...]
            while !rest.isEmpty {
                #expect(reader.received(Array(rest.prefix(piece)), isOpening: false) == nil)
                rest = rest.dropFirst(piece)
                count += try frames(&reader)
            }
            #expect(count == 3, "in pieces of \(piece)")
        }
    }

    @Test func `another version is heard of during the handshake, byte by byte too`() {
        let answer = Preamble(kind: .versionAnswer).bytes
        for piece in [1, 3, answer.count] {
            var reader = SessionReader()
            var heard: UInt16?
            var rest = answer[...]
            while !rest.isEmpty {
                heard = reader.received(Array(rest.prefix(piece)), isOpening: true) ?? heard
                rest = rest.dropFirst(piece)
            }
            #expect(heard == Preamble.version, "in pieces of \(piece)")
        }
    }

    @Test func `what looks like such an answer later on is none`() {
        var reader = SessionReader()
        #expect(reader.received(Preamble(kind: .versionAnswer).bytes, isOpening: false) == nil)
        var other = SessionReader()
        _ = other.received(pong, isOpening: true)
        #expect(other.received(Preamble(kind: .versionAnswer).bytes, isOpening: true) == nil)
    }

    @Test func `a new stream begins with nothing of the former one`() throws {
        var reader = SessionReader()
        _ = reader.received(Array(pong.dropLast()), isOpening: false)
        reader.begin()
        _ = reader.received(pong, isOpening: false)
        #expect(try frames(&reader) == 1)
    }

    @Test func `a relay that says too much is read as fast as it may speak`() throws {
        var reader = SessionReader()
        let many = Array(repeatElement(pong, count: 20_000).joined())
        _ = reader.received(many, isOpening: false)
        let burst = try frames(&reader)
        #expect(burst == Workload.Limits.relay.frames.burst)
        guard case .wait(let span) = try reader.next(at: .at(1_000)) else {
            Issue.record("it is read on")
            return
        }
        #expect(span > .zero && span < .seconds(1))
        #expect(try frames(&reader, at: .at(2_000)) > 0)
    }

    @Test func `bytes that are no frame are an error`() {
        var reader = SessionReader()
        _ = reader.received([UInt8](repeating: 0xff, count: 64), isOpening: false)
        #expect(throws: WireError.self) { try reader.next(at: .at(1_000)) }
    }
}
