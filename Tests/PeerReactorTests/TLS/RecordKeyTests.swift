import CRecords
import Testing

@testable import PeerReactor

/// Records of TLS 1.3 by themselves.
struct RecordKeyTests {
    private static let secret = hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
    private static let libraries = [crecords_fastest, crecords_openssl]

    private static func hex(_ text: String) -> [UInt8] {
        stride(from: 0, to: text.utf8.count, by: 2).map { at in
            UInt8(text.dropFirst(at).prefix(2), radix: 16)!
        }
    }

    private static func key(
        _ library: crecords_library = crecords_fastest, suite: crecords_suite = crecords_aes_128_gcm, seals: Bool
    ) throws -> Held {
        guard let key = RecordKey(suite: UInt16(suite.rawValue), secret: secret, seals: seals, library: library) else {
            throw TimedOut(description: "no key")
        }
        return Held(key)
    }

    @Test(arguments: libraries)
    func `are those of the standard's example (RFC 8448, section 3)`(_ library: crecords_library) throws {
        let key = try Self.key(library, seals: true)
        let record = key.seal(Array(0..<50))
        let expected = """
            1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a\
            6292a2977014bd1e3deae63aeebb21694915e4
            """
        #expect(record == Self.hex(expected))
    }

    @Test(arguments: [crecords_aes_128_gcm, crecords_chacha20_poly1305])
    func `are the same whichever library makes them, and each opens the other's`(_ suite: crecords_suite) throws {
        let sealing = try Self.key(suite: suite, seals: true)
        let plainly = try Self.key(crecords_openssl, suite: suite, seals: true)
        let opening = try Self.key(crecords_openssl, suite: suite, seals: false)
        let openingFast = try Self.key(suite: suite, seals: false)
        for size in Array(0...130) + [255, 256, 1_023, 4_096, 16_383, 16_384] {
            let text = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
            let record = sealing.seal(text)
            #expect(record == plainly.seal(text), "\(size) bytes")
            for opened in [opening.open(record), openingFast.open(record)] {
                #expect(opened?.content == .bytes && opened?.text == text, "\(size) bytes")
            }
        }
    }

    @Test(arguments: libraries)
    func `do not open when any bit was changed, nor twice, nor out of order`(_ library: crecords_library) throws {
        let sealing = try Self.key(library, seals: true)
        let first = sealing.seal(Array("hello".utf8))
        let second = sealing.seal(Array("world".utf8))
        for bit in 0..<(first.count * 8) {
            var changed = first
            changed[bit / 8] ^= 1 << (bit % 8)
            let opening = try Self.key(library, seals: false)
            #expect(opening.open(changed) == nil, "bit \(bit)")
        }
        let opening = try Self.key(library, seals: false)
        #expect(opening.open(first) != nil)
        #expect(opening.open(first) == nil)
        let other = try Self.key(library, seals: false)
        #expect(other.open(second) == nil)
    }

    @Test func `of any bytes whatever do not open`() throws {
        var numbers = SystemRandomNumberGenerator()
        let opening = try Self.key(seals: false)
        for count in 0..<300 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &numbers) }
            #expect(opening.open(bytes) == nil)
        }
    }

    @Test func `say what they are before padding, and without a word of that they are none`() throws {
        let sealing = try Self.key(seals: true)
        let opening = try Self.key(seals: false)
        // What it is stands in the text, before the zeros, and in its own place is a zero.
        func padded(_ text: [UInt8]) -> [UInt8] { sealing.seal(text, type: 0) }
        let alert = opening.open(padded([1, 0, 21, 0, 0, 0]))
        #expect(alert?.content == .alert && alert?.text == [1, 0])
        let empty = opening.open(padded([23, 0]))
        #expect(empty?.content == .bytes && empty?.text == [])
        #expect(opening.open(padded([0, 0, 0])) == nil)
        #expect(opening.open(padded([1, 2, 24])) == nil)
    }

    @Test func `go on under the next key after an update at both ends, and not after one at one end`() throws {
        let sealing = try Self.key(seals: true)
        let opening = try Self.key(seals: false)
        let first = sealing.seal([1])
        let isUpdated = sealing.update()
        let second = sealing.seal([1])
        #expect(isUpdated && first != second)
        #expect(opening.open(first)?.text == [1])
        #expect(opening.update())
        #expect(opening.open(second)?.text == [1])
        _ = sealing.update()
        #expect(opening.open(sealing.seal([2])) == nil)
    }

    @Test func `have no key for a suite that is not known`() {
        let key = RecordKey(suite: 0x1302, secret: Self.secret, seals: true)
        let isThere = key != nil
        #expect(!isThere)
    }
}

/// A key that a test can hand around.
private final class Held {
    private var key: RecordKey

    init(_ key: consuming RecordKey) { self.key = key }

    func seal(_ text: [UInt8], type: UInt8 = RecordKey.Content.bytes.rawValue) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: text.count + RecordKey.overhead) { room, used in
            used =
                text.withUnsafeBytes { key.seal(type: type, $0, to: UnsafeMutableRawPointer(room.baseAddress!)) } ?? 0
        }
    }

    func open(_ record: [UInt8]) -> (content: RecordKey.Content, text: [UInt8])? {
        var content: RecordKey.Content?
        let text = [UInt8](unsafeUninitializedCapacity: record.count + 1) { room, used in
            let opened = record.withUnsafeBytes { key.open($0, into: UnsafeMutableRawPointer(room.baseAddress!)) }
            content = opened?.0
            used = opened?.1 ?? 0
        }
        return content.map { ($0, text) }
    }

    func update() -> Bool { key.update() }
}
