import Glibc

/// An endless stream of bytes that looks random, so that any loss, doubling or swap shows. Each seed has its own.
struct Pattern: Sendable {
    /// A prime, so that no power of two in the code under test falls into step with it.
    private static let period = 99_991
    private static let reach = 70_000
    private let block: [UInt8]

    init(seed: UInt64) {
        var random = TestRandom(seed: seed)
        let once = (0..<Self.period).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        block = once + once.prefix(Self.reach)
    }

    /// At most 70 000 bytes from `offset` of the stream.
    func withBytes<Result>(at offset: Int, _ count: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        block.withUnsafeBytes { bytes in
            let start = offset % Self.period
            return body(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + min(count, Self.reach))]))
        }
    }

    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { block[$0 % Self.period] } }

    /// Sends `total` bytes in chunks of random size; `false` when the other end broke.
    func write(_ total: Int, to socket: TestSocket, chunks: ClosedRange<Int>, seed: UInt64) -> Bool {
        var random = TestRandom(seed: seed)
        var sent = 0
        while sent < total {
            let size = min(Int.random(in: chunks, using: &random), total - sent)
            guard withBytes(at: sent, size, { socket.send($0) }) else { return false }
            sent += min(size, Self.reach)
        }
        return true
    }

    struct Reading: Equatable, Sendable {
        var bytes = 0
        /// Where the first wrong byte is.
        var wrongAt: Int?
        var end = TestSocket.End.clean
    }

    /// Reads to the end in pieces of random size and compares each byte.
    func read(from socket: TestSocket, chunks: ClosedRange<Int>, seed: UInt64) -> Reading {
        var random = TestRandom(seed: seed)
        var reading = Reading()
        var chunk = [UInt8](repeating: 0, count: chunks.upperBound)
        while true {
            let count = recv(socket.fd, &chunk, Int.random(in: chunks, using: &random), 0)
            guard count > 0 else {
                reading.end = count == 0 ? .clean : TestSocket.end(errno)
                return reading
            }
            let isSame = withBytes(at: reading.bytes, count) { memcmp($0.baseAddress!, chunk, count) == 0 }
            if !isSame, reading.wrongAt == nil { reading.wrongAt = reading.bytes }
            reading.bytes += count
        }
    }
}

/// SplitMix64.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
