import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// What a socket heard, and from whom. Belongs to the loop, and is read through `loop.run`.
private final class Heard: DatagramReceiver, @unchecked Sendable {
    // Unchecked: touched on the loop's thread alone.
    struct Datagram: Equatable {
        let bytes: [UInt8]
        let from: DatagramAddress
        let to: DatagramAddress
    }

    var datagrams: [Datagram] = []
    var errors: [Int32] = []
    var answer: ((DatagramSocket, Datagram) -> Void)?

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        let datagram = Datagram(bytes: Array(bytes), from: source, to: local)
        datagrams.append(datagram)
        answer?(socket, datagram)
    }

    func failed(_ error: SystemError, on socket: DatagramSocket) { errors.append(error.code) }
}

@Suite("A socket for datagrams", .serialized)
struct DatagramSocketTests {
    private let loop: EventLoop
    private let heard = Heard()

    private static let pattern = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 8) }

    private static func text(_ count: Int, _ seed: Int = 0) -> [UInt8] { Array(pattern[seed..<(seed + count)]) }

    init() throws { loop = try EventLoop.started() }

    /// - Parameter host: `nil`: on all addresses.
    private func bound(
        on host: SocketAddress.Host? = SocketAddress.loopback(0).host, _ kind: DatagramSocket.Kind = .atTheEdge,
        port: UInt16 = 0, isShared: Bool = false, heardBy heard: Heard? = nil
    ) throws -> (socket: Handed<DatagramSocket>, port: UInt16) {
        let (loop, heard) = (loop, heard ?? self.heard)
        let socket = Handed(try DatagramSocket.bound(port: port, on: host, kind, isShared: isShared))
        try loop.run { try socket.value.start(on: loop, heard) }
        return (socket, socket.value.local.port)
    }

    @Test("that is not read in time loses datagrams, and each of them is counted, also once it has stopped")
    func overflow() throws {
        let (socket, port) = try bound()
        let (loop, heard) = (loop, heard)
        let sent = 12_000
        // The loop sends, so it does not read meanwhile: 17 MB, where the socket has room for 8.
        try loop.run {
            let sender = try DatagramSocket.connected(to: .loopback(port), .atTheEdge)
            let bytes = [UInt8](repeating: 7, count: 1_400)
            for _ in 0..<sent { _ = Glibc.send(sender.descriptor.raw, bytes, bytes.count, 0) }
        }
        func missing() throws -> Int { sent - (try loop.run { heard.datagrams.count }) }
        try eventually("the rest was heard") {
            try loop.run { Int(loop.datagramCounts.overflowed) + heard.datagrams.count } == sent
        }
        #expect(try missing() > 1_000)
        try loop.run { socket.value.stop() }
        #expect(try loop.run { Int(loop.datagramCounts.overflowed) } == missing())
    }

    private func connected(to port: UInt16) throws -> Handed<DatagramSocket> {
        let (loop, heard) = (loop, heard)
        let socket = Handed(try DatagramSocket.connected(to: .loopback(port), .atTheEdge))
        try loop.run { try socket.value.start(on: loop, heard) }
        return socket
    }

    /// Sends them together; `nil`: the socket is connected.
    private func send(
        _ datagrams: [(bytes: [UInt8], to: DatagramAddress?)], by socket: Handed<DatagramSocket>
    ) throws -> DatagramSocket.Counts {
        let loop = loop
        let datagrams = Handed(datagrams)
        return try loop.run {
            let room = try #require(loop.datagrams)
            for (bytes, end) in datagrams.value {
                guard let place = room.room(for: socket.value, bytes.count) else { continue }
                place.copyMemory(from: bytes, byteCount: bytes.count)
                if let end {
                    room.push(bytes.count, to: end, from: DatagramAddress(high: 0, low: 0, port: 0))
                } else {
                    room.push(bytes.count)
                }
            }
            room.flush()
            return socket.value.counts
        }
    }

    private func wait(for count: Int, _ heard: Heard? = nil) throws -> [Heard.Datagram] {
        let heard = heard ?? self.heard
        try eventually("\(count) datagrams") { try loop.run { heard.datagrams.count >= count } }
        return try loop.run { Handed(heard.datagrams) }.value
    }

    @Test("tells each datagram with its sender, from none to the most bytes that one can have")
    func received() throws {
        let (_, port) = try bound()
        let other = try DatagramEnd()
        let sizes = [0, 1, 1_472, 9_000, 65_507]
        for size in sizes { try other.send(Self.text(size), to: port) }
        let told = try wait(for: sizes.count)
        #expect(told.map(\.bytes.count) == sizes)
        #expect(told.map(\.bytes) == sizes.map { Self.text($0) })
        #expect(told.allSatisfy { $0.from == other.address })
    }

    @Test("tells a single datagram at once, and does not wait until there are more")
    func single() throws {
        let (_, port) = try bound()
        let other = try DatagramEnd()
        for turn in 1...3 {
            try other.send([UInt8(turn)], to: port)
            #expect(try wait(for: turn).count == turn)
        }
    }

    @Test("sends many at once, which others see one by one, of whatever size")
    func many() throws {
        let (socket, _) = try bound()
        let other = try DatagramEnd()
        let sizes = Array(repeating: 64, count: 150) + [10, 64, 0, 0, 64, 1_200, 1_200, 600, 65_507, 1]
        let counts = try send(sizes.map { (Self.text($0), other.address) }, by: socket)
        #expect(counts == DatagramSocket.Counts(sent: UInt64(sizes.count)))
        for size in sizes { #expect(try other.next().bytes == Self.text(size)) }
        #expect(other.isEmpty)
    }

    @Test("that hears bundles tells their datagrams apart")
    func bundles() throws {
        let (_, port) = try bound()
        let sender = Heard()
        let (socket, from) = try bound(heardBy: sender)
        let end = DatagramAddress(SocketAddress.loopback(port))
        var texts: [[UInt8]] = (0..<40).map { Self.text(500 + $0 / 10, $0) }
        texts.append([7])
        _ = try send(texts.map { ($0, end) }, by: socket)
        let told = try wait(for: texts.count)
        #expect(told.map(\.bytes) == texts)
        #expect(told.allSatisfy { $0.from.port == from })
    }

    @Test("sends one by one where the kernel takes no bundle, and gives it none any more")
    func withoutBundles() throws {
        let (socket, _) = try bound()
        let other = try DatagramEnd()
        // Without checksums there are no bundles (udp(7)).
        var on: Int32 = 1
        setsockopt(socket.value.descriptor.raw, SOL_SOCKET, SO_NO_CHECK, &on, socklen_t(MemoryLayout<Int32>.size))
        var texts: [[UInt8]] = (0..<50).map { Self.text(100, $0) }
        texts.append([1, 2, 3])
        for _ in 0..<2 {
            _ = try send(texts.map { ($0, other.address) }, by: socket)
            for text in texts { #expect(try other.next().bytes == text) }
        }
        #expect(try loop.run { socket.value.sendsBundles } == false)
        #expect(try loop.run { socket.value.counts.sent } == UInt64(2 * texts.count))
    }

    @Test("goes on after a datagram that the system refuses, and counts it")
    func refusedInTheMiddle() throws {
        let (socket, _) = try bound()
        let other = try DatagramEnd()
        let nowhere = DatagramAddress(SocketAddress(numeric: "127.0.0.1", port: 0)!)
        let counts = try send(
            [([1], other.address), ([2], nowhere), ([3], other.address), ([4], other.address)], by: socket)
        #expect(counts == DatagramSocket.Counts(sent: 3, refused: 1))
        for byte: UInt8 in [1, 3, 4] { #expect(try other.next().bytes == [byte]) }
    }

    @Test("with many others is not held up by one whose port is closed")
    func closedPortAmongOthers() throws {
        let (socket, _) = try bound()
        let other = try DatagramEnd()
        let closed = try { try DatagramEnd().address }()
        for turn: UInt8 in 0..<20 {
            let counts = try send([([turn], closed), ([turn], other.address), ([turn], closed)], by: socket)
            #expect(counts.sent == 3 * (UInt64(turn) + 1))
            #expect(try other.next().bytes == [turn])
        }
        #expect(try loop.run { heard.errors } == [])
    }

    @Test("that is connected hears that the other end's port is closed, and goes on when it opens")
    func connectedAndRefused() throws {
        var end: DatagramEnd? = try DatagramEnd()
        let port = end!.port
        end = nil
        let socket = try connected(to: port)
        _ = try send([([1], nil)], by: socket)
        let (loop, heard) = (loop, heard)
        try eventually("an error") { try loop.run { heard.errors } == [ECONNREFUSED] }
        // Of two in a row the second one meets the error of the first.
        _ = try send([([2], nil)], by: socket)
        _ = try send([([3], nil)], by: socket)
        #expect(try loop.run { socket.value.counts } == DatagramSocket.Counts(sent: 3))
    }

    @Test(
        "that is connected can have one beside it, which gets what comes from elsewhere, and that alone",
        arguments: ["127.0.0.1", "::1"])
    func beside(_ text: String) throws {
        let host = SocketAddress(numeric: text, port: 0)!.host
        let (loop, heard, target, stranger, strays) = (loop, heard, Heard(), Heard(), Heard())
        let (asked, port) = try bound(on: host, heardBy: target)
        let (other, _) = try bound(on: host, heardBy: stranger)
        let own = Handed(try DatagramSocket.connected(to: SocketAddress(host: host, port: port), .atTheEdge))
        let second = Handed(try own.value.beside())
        try loop.run {
            try own.value.start(on: loop, heard)
            try second.value.start(on: loop, strays)
        }
        let end = own.value.local
        #expect(second.value.local == end)
        // Nobody else may have the port, however he asks.
        #expect(throws: SystemError("bind", code: EADDRINUSE)) {
            _ = try DatagramSocket.bound(port: end.port, on: host, .atTheEdge, isShared: true)
        }
        for turn: UInt8 in 1...50 {
            _ = try send([([turn], end)], by: asked)
            _ = try send([([100 + turn], end), ([200 + turn], end)], by: other)
        }
        _ = try wait(for: 50)
        _ = try wait(for: 100, strays)
        #expect(try loop.run { heard.datagrams.allSatisfy { $0.bytes[0] <= 50 } })
        #expect(try loop.run { strays.datagrams.allSatisfy { $0.bytes[0] > 100 } })
        try loop.run { second.value.stop() }
        _ = try send([([0], end)], by: other)
        _ = try send([([51], end)], by: asked)
        #expect(try wait(for: 51).last?.bytes == [51])
        #expect(try loop.run { strays.datagrams.count } == 100)
    }

    @Test("on all addresses answers from the one that was asked", arguments: ["127.0.0.1", "127.0.0.7"])
    func answers(_ host: String) throws {
        let loop = loop
        heard.answer = { socket, datagram in
            guard let room = loop.datagrams, let place = room.room(for: socket, datagram.bytes.count) else { return }
            place.copyMemory(from: datagram.bytes, byteCount: datagram.bytes.count)
            room.push(datagram.bytes.count, to: datagram.from, from: datagram.to)
        }
        let (_, port) = try bound(on: nil)
        let other = try DatagramEnd()
        try other.send([1, 2, 3], to: port, at: host)
        let answer = try other.next()
        #expect(answer.bytes == [1, 2, 3])
        #expect(answer.from == SocketAddress(numeric: host, port: port)!)
    }

    @Test("that refuses keeps its port and has senders told so, until it admits them again", arguments: [true, false])
    func refusing(_ isEverywhere: Bool) throws {
        // By its number: one that the system chose is lost with the first refusal.
        let port = try { try DatagramEnd().port }()
        let socket = try bound(on: isEverywhere ? nil : SocketAddress.loopback(0).host, port: port).socket
        let (loop, heard) = (loop, heard)
        for turn in 1...3 {
            socket.value.refuse()
            try loop.run { socket.value.stop() }
            let sender = Heard()
            let visitor = Handed(try DatagramSocket.connected(to: .loopback(port), .atTheEdge))
            try loop.run { try visitor.value.start(on: loop, sender) }
            _ = try send([([1], nil)], by: visitor)
            try eventually("nobody is there") { try loop.run { sender.errors } == [ECONNREFUSED] }
            // On all addresses it is held against others that want all of them, and no more.
            #expect(throws: SystemError("bind", code: EADDRINUSE)) {
                let host = isEverywhere ? nil : SocketAddress.loopback(0).host
                _ = try DatagramSocket.bound(port: port, on: host, .atTheEdge)
            }
            try socket.value.admit()
            try loop.run { try socket.value.start(on: loop, heard) }
            _ = try send([([UInt8(turn)], nil)], by: visitor)
            try eventually("it is heard") { try loop.run { heard.datagrams.count } == turn }
            try loop.run { visitor.value.stop() }
        }
        #expect(try loop.run { heard.datagrams.map(\.bytes) } == [[1], [2], [3]])
    }

    @Test("of those that share a port gets the datagrams whose first bytes name it")
    func steered() throws {
        let all = [heard, Heard(), Heard(), Heard()]
        let (first, port) = try bound(isShared: true, heardBy: all[0])
        let others = try all.dropFirst().map { try bound(port: port, isShared: true, heardBy: $0).socket }
        #expect(first.value.steer(bits: 2))
        let other = try DatagramEnd()
        for number: UInt8 in 0..<40 { try other.send([9, 8, 7, number], to: port) }
        for (turn, heard) in all.enumerated() {
            let told = try wait(for: 10, heard)
            #expect(told.map { Int($0.bytes[3]) } == (0..<10).map { 4 * $0 + turn })
        }
        withExtendedLifetime(others) {}
    }
}
