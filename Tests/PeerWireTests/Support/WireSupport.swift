import Foundation
import FuzzParsers
import PeerWire
import Testing

/// SplitMix64, seeded: `P2PRC_SEED` replays a run, otherwise every run is the same one.
struct TestGenerator: RandomNumberGenerator {
    static let seed = ProcessInfo.processInfo.environment["P2PRC_SEED"].flatMap { UInt64($0) } ?? 1
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// Fields of a payload, taken apart and put together without the code under test.
struct RawField: Equatable {
    var tag: UInt8
    var value: [UInt8]

    static func split(_ payload: [UInt8]) -> [RawField] {
        var fields: [RawField] = []
        var at = 0
        while at < payload.count {
            let length = Int(payload[at + 1]) << 8 | Int(payload[at + 2])
            fields.append(RawField(tag: payload[at], value: Array(payload[(at + 3)..<(at + 3 + length)])))
            at += 3 + length
        }
        return fields
    }

    static func join(_ fields: [RawField]) -> [UInt8] {
        fields.flatMap { [$0.tag, UInt8($0.value.count >> 8), UInt8($0.value.count & 0xff)] + $0.value }
    }
}

extension Frame {
    var fields: [RawField] { RawField.split(payload) }
    func with(_ fields: [RawField]) -> Frame { Frame(type: type, payload: RawField.join(fields)) }
}

/// The message in a frame; an error or a skipped type fails the test.
func decoded(_ frame: Frame, _ at: SourceLocation = #_sourceLocation) throws -> EitherMessage {
    try #require(try EitherMessage(frame), sourceLocation: at)
}

/// How decoding ends badly; `nil` if it does not.
func wireError(of frame: Frame) -> WireError? {
    do {
        _ = try EitherMessage(frame)
        return nil
    } catch { return error }
}

/// All frames of `bytes`, appended in chunks of `size`.
func frames(of bytes: [UInt8], chunks size: Int) throws -> [Frame] {
    var decoder = FrameDecoder()
    var found: [Frame] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
        decoder.append(bytes[start..<min(start + size, bytes.count)])
        while let frame = try decoder.next() { found.append(frame) }
    }
    #expect(decoder.bufferedByteCount == 0)
    return found
}

extension [UInt8] {
    /// `count` bytes: `first`, `first` + 1, …
    static func counting(from first: UInt8, _ count: Int = 32) -> [UInt8] {
        (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
    }

    func flipping(bit: UInt8 = 0, at index: Int) -> [UInt8] {
        var copy = self
        copy[index] ^= 1 << bit
        return copy
    }
}
