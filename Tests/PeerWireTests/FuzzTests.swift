import PeerWire
import Testing

/// Whatever arrives, reading ends in a value or an error. The same inputs every time; `P2PRC_SEED=7 swift test
/// --filter FuzzTests` tries others.
@Suite struct FuzzTests {
    static let inputs = 100_000
    static let originals: [[UInt8]] =
        Samples.messages.map(\.message.bytes)
        + [
            Samples.messages.flatMap(\.message.bytes), Samples.dataChannelHello.bytes, Samples.probe, Samples.answer,
            Samples.visitorStarts[0].start.bytes, Samples.visitorStarts[1].start.bytes, Preamble(kind: .session).bytes,
        ]

    @Test(.timeLimit(.minutes(1))) func `mutated input never crashes and never decodes to what cannot be sent`() {
        var found = 0
        for index in 0..<UInt64(Self.inputs) {
            let seed = TestGenerator.seed &* 1_000_003 &+ index
            var random = TestGenerator(seed: seed)
            let input = Self.mutated(using: &random)
            guard Self.isReadSafely(input, &found) else {
                Issue.record("input \(index) of P2PRC_SEED=\(TestGenerator.seed): \(Hex.encode(input))")
                return
            }
        }
        // Otherwise the mutations are so wild that nothing behind the first check is reached.
        #expect(found > Self.inputs / 10)
    }

    static func mutated(using random: inout TestGenerator) -> [UInt8] {
        var bytes = originals[Int(random.next() % UInt64(originals.count))]
        for _ in 0...Int(random.next() % 4) {
            guard !bytes.isEmpty else { return bytes }
            let index = Int(random.next() % UInt64(bytes.count))
            switch random.next() % 8 {
            case 0: bytes[index] ^= 1 << UInt8(random.next() % 8)
            case 1: bytes[index] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: index)
            case 3: bytes.remove(at: index)
            case 4: bytes.removeSubrange(index...)
            case 5: bytes[index] = [0, 1, 0x7f, 0x80, 0xff][Int(random.next() % 5)]
            case 6: bytes += originals[Int(random.next() % UInt64(originals.count))].prefix(64)
            default: bytes.swapAt(index, Int(random.next() % UInt64(bytes.count)))
            }
        }
        return bytes
    }

    /// What is understood must mean the same when it is sent again.
    static func isReadSafely(_ input: [UInt8], _ found: inout Int) -> Bool {
        _ = Preamble.read(input)
        _ = ReachabilityCheck.read(input)
        if let hello = DataChannelHello(input), DataChannelHello(hello.bytes) != hello { return false }
        if let start = VisitorStart(input), VisitorStart(start.bytes) != start { return false }
        var decoder = FrameDecoder()
        decoder.append(input)
        do throws(WireError) {
            while let frame = try decoder.next() {
                guard let message = try Message(frame) else { continue }
                found += 1
                guard let again = try? Message(message.frame), again == message else { return false }
            }
        } catch {
            return !error.detail.isEmpty
        }
        return decoder.bufferedByteCount <= input.count
    }
}
