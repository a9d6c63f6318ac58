import PeerCore
import PeerWire
import Testing

@testable import PeerStorage

@Suite struct MeshKeyFileTests {
    private static let keys = (1...3).map { MeshKey(bytes: [UInt8](repeating: $0, count: MeshKey.byteCount))! }
    private let start = WallTime(seconds: 1_800_000_000)

    @Test func `a former key counts until its time, and the file says when that is`() {
        let file = MeshKeyFile(current: Self.keys[0], former: [])
            .rotated(to: Self.keys[1], keepingUntil: start + 100, now: start)
            .rotated(to: Self.keys[2], keepingUntil: start + 60, now: start + 10)
        #expect(file.keys(at: start + 59) == [Self.keys[2], Self.keys[1], Self.keys[0]])
        #expect(file.nextEnd(after: start + 59) == start + 60)
        #expect(file.keys(at: start + 60) == [Self.keys[2], Self.keys[0]])
        #expect(file.nextEnd(after: start + 60) == start + 100)
        #expect(file.keys(at: start + 100) == [Self.keys[2]])
        #expect(file.nextEnd(after: start + 100) == nil)
        #expect(MeshKeyFile(file.text) == file)
    }

    @Test func `a rotation that keeps nothing ends the present key and all before it`() {
        let file = MeshKeyFile(current: Self.keys[0], former: [])
            .rotated(to: Self.keys[1], keepingUntil: start + 100, now: start)
            .rotated(to: Self.keys[2], keepingUntil: start, now: start)
        #expect(file.keys(at: start) == [Self.keys[2]])
    }
}
