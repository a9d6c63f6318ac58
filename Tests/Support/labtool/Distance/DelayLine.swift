import Glibc

/// Distance between network namespaces: packets that enter a TAP device in one come out of another one in the other,
/// later, and some of them never.
///
///     delay-line --lines FILE [--seed 1] [--seconds 600]
///
/// A line of the file for each pair of devices, which are made here: `namespace device namespace device delay jitter
/// loss`, delay and jitter in microseconds for one direction, loss in millionths. With SIGUSR1 the last three are read
/// again for the pairs that are there. It ends with its standard input, and the devices with it.
///
/// Packets keep their order, also with jitter. Each direction holds 32 MiB or 16,384 packets; what comes then is lost.
/// Without loss TCP's large segments pass in one piece (tun(4), IFF_VNET_HDR); with loss they are cut, so that it is
/// wire packets that are lost.
enum DelayLine {
    static func run(_ arguments: Arguments) throws {
        let file = try arguments.text("lines")
        let seed = UInt64(try arguments.number("seed", or: 1))
        var pairs: [Pair] = []
        for (index, row) in try rows(file).enumerated() {
            pairs.append(try Pair(row, seed: seed &+ UInt64(index) &* 2))
        }
        let wake = try signalPipe()
        Report(arguments.tool, ok: true).with("lines", pairs.count).write()
        let ways = pairs.flatMap(\.ways)
        var polls = ([0, wake] + ways.map(\.from)).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 80 << 10, alignment: 16)
        while true {
            let due = ways.compactMap(\.nextDue).min()
            try wait(&polls, until: due)
            if polls[0].revents != 0 { return }
            if polls[1].revents != 0 {
                var byte: UInt8 = 0
                while read(wake, &byte, 1) == 1 {}
                for (pair, row) in zip(pairs, try rows(file)) { pair.set(row) }
            }
            for (index, way) in ways.enumerated() where polls[index + 2].revents != 0 { way.take(scratch) }
            for way in ways { way.pass() }
        }
    }

    private static func wait(_ polls: inout [pollfd], until due: Int?) throws {
        guard let due else {
            guard poll(&polls, nfds_t(polls.count), -1) >= 0 || errno == EINTR else { throw SocketError("poll") }
            return
        }
        let left = max(0, due - Clock.nanoseconds())
        var time = timespec(tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000)
        guard Unseen.ppoll(&polls, nfds_t(polls.count), &time, nil) >= 0 || errno == EINTR else {
            throw SocketError("ppoll")
        }
    }

    private static func rows(_ file: String) throws -> [Row] {
        guard let stream = fopen(file, "r") else { throw SocketError("open \(file)") }
        defer { fclose(stream) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&buffer, 1, buffer.count, stream), count > 0 { text += buffer[..<count] }
        return try String(decoding: text, as: UTF8.self).split(separator: "\n").map { try Row(String($0)) }
    }

    private static func signalPipe() throws -> Int32 {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw SocketError("pipe") }
        Socket.nonBlocking(ends[0])
        Socket.nonBlocking(ends[1])
        signalEnd = ends[1]
        signal(SIGUSR1) { _ in
            var byte: UInt8 = 1
            _ = write(signalEnd, &byte, 1)
        }
        return ends[0]
    }
}

/// Written once before the signal can come.
nonisolated(unsafe) private var signalEnd: Int32 = -1

extension DelayLine {
    struct Row {
        var ends: [(namespace: String, device: String)]
        /// In nanoseconds.
        var delay: Int
        var jitter: Int
        /// In millionths.
        var loss: Int

        init(_ text: String) throws {
            let words = text.split(separator: " ").map(String.init)
            let numbers = words.dropFirst(4).compactMap { Int($0) }
            guard words.count == 7, numbers.count == 3, numbers.allSatisfy({ $0 >= 0 }) else {
                throw UsageError(text: "not a delay line: \(text)")
            }
            ends = [(words[0], words[1]), (words[2], words[3])]
            delay = numbers[0] * 1000
            jitter = numbers[1] * 1000
            loss = numbers[2]
        }
    }

    final class Pair {
        let ways: [Way]

        init(_ row: Row, seed: UInt64) throws {
            let fds = try row.ends.map { try Tap.open(in: $0.namespace, named: $0.device) }
            ways = [Way(from: fds[0], to: fds[1], seed: seed), Way(from: fds[1], to: fds[0], seed: seed &+ 1)]
            set(row)
        }

        func set(_ row: Row) {
            for way in ways {
                Tap.setLargeSegments(way.from, row.loss == 0)
                (way.delay, way.jitter, way.loss) = (row.delay, row.jitter, row.loss)
            }
        }
    }

    /// One direction.
    final class Way {
        private struct Packet {
            var due: Int
            var bytes: UnsafeMutableRawBufferPointer
        }

        private static let most = 16_384
        private static let mostBytes = 32 << 20

        let from: Int32
        private let to: Int32
        var delay = 0
        var jitter = 0
        var loss = 0
        private var random: UInt64
        private var packets: [Packet?] = Array(repeating: nil, count: Way.most)
        private var first = 0
        private var count = 0
        private var bytes = 0
        private var lastDue = 0

        init(from: Int32, to: Int32, seed: UInt64) {
            self.from = from
            self.to = to
            random = seed
        }

        var nextDue: Int? { count > 0 ? packets[first]?.due : nil }

        /// Takes what has come, some packets at a time, so that the other lines have their turn.
        func take(_ scratch: UnsafeMutableRawBufferPointer) {
            for _ in 0..<64 {
                let size = read(from, scratch.baseAddress, scratch.count)
                guard size > 0 else { return }
                if loss > 0, Int(draw() % 1_000_000) < loss { continue }
                guard count < Way.most, bytes + size <= Way.mostBytes else { continue }
                let late = jitter > 0 ? Int(draw() % UInt64(jitter)) : 0
                lastDue = max(lastDue, Clock.nanoseconds() + delay + late)
                let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
                copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: scratch[..<size]))
                packets[(first + count) % Way.most] = Packet(due: lastDue, bytes: copy)
                count += 1
                bytes += size
            }
        }

        /// Lets out what is due. A device that is down takes nothing: that packet is lost.
        func pass() {
            guard count > 0 else { return }
            let now = Clock.nanoseconds()
            while count > 0, let packet = packets[first], packet.due <= now {
                _ = write(to, packet.bytes.baseAddress, packet.bytes.count)
                bytes -= packet.bytes.count
                packet.bytes.deallocate()
                packets[first] = nil
                first = (first + 1) % Way.most
                count -= 1
            }
        }

        /// SplitMix64.
        private func draw() -> UInt64 {
            random &+= 0x9e37_79b9_7f4a_7c15
            var z = random
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }
}
