import Glibc

/// Datagrams whose senders do not exist, each another one, at an even pace. Needs a raw socket, and so is only for
/// namespaces of the laboratory.
///
///     datagram-forger --address A --port N --count C --for SECONDS
///
/// The senders are addresses of 198.18.0.0/15, which RFC 2544 keeps for such.
enum DatagramForger {
    private static let text = Array("who is there".utf8)
    private static let headers = 28

    static func run(_ arguments: Arguments) throws {
        let fd = socket(AF_INET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(IPPROTO_RAW))
        guard fd >= 0 else { throw SocketError("socket") }
        let host = try arguments.text("address")
        let port = UInt16(try arguments.number("port"))
        let count = try arguments.number("count")
        let nanoseconds = try arguments.number("for") * 1_000_000_000
        guard count <= 1 << 17 else { throw UsageError(text: "--count is more than 198.18.0.0/15 has") }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        guard inet_pton(AF_INET, host, &name.sin_addr) == 1 else { throw UsageError(text: "--address is no IPv4") }
        var packet = packet(to: name.sin_addr, port)
        let begin = Clock.nanoseconds()
        var failed = 0
        for number in 0..<count {
            let due = begin + nanoseconds / count * number
            while Clock.nanoseconds() < due {
                var time = timespec(tv_sec: 0, tv_nsec: 100_000)
                nanosleep(&time, nil)
            }
            let address = UInt32(198) << 24 | UInt32(18) << 16 | UInt32(number)
            put(address, at: 12, in: &packet)
            let source = UInt16(1024 + number % 60_000)
            packet[20] = UInt8(source >> 8)
            packet[21] = UInt8(source & 255)
            let sent = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(fd, packet, packet.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if sent < 0 { failed += 1 }
        }
        Report(arguments.tool, ok: failed == 0).with("sent", count - failed).with("failed", failed)
            .with("milliseconds", (Clock.nanoseconds() - begin) / 1_000_000).finish()
    }

    /// The kernel fills in the length and the checksum of the first header, and the second one needs none.
    private static func packet(to address: in_addr, _ port: UInt16) -> [UInt8] {
        var packet = [UInt8](repeating: 0, count: headers) + text
        packet[0] = 0x45
        packet[8] = 64
        packet[9] = UInt8(IPPROTO_UDP)
        put(UInt32(bigEndian: address.s_addr), at: 16, in: &packet)
        packet[22] = UInt8(port >> 8)
        packet[23] = UInt8(port & 255)
        let length = UInt16(8 + text.count)
        packet[24] = UInt8(length >> 8)
        packet[25] = UInt8(length & 255)
        return packet
    }

    private static func put(_ value: UInt32, at place: Int, in packet: inout [UInt8]) {
        for index in 0..<4 { packet[place + index] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * index)) }
    }
}
