import Foundation

/// Ports for tests on loopback: outside the kernel's ephemeral range, handed out once in a process, and never to two
/// test processes at a time (a lock file per block of ports).
public enum FreePorts {
    private static let blockSize = 1000
    private static let blocks = Array(10..<31)  // 10000 to 30999

    private struct State {
        var mine: [Int] = []
        var next = 0
        var end = 0
    }

    private static let state = Locked(State())

    /// One port that nobody listens on, for TCP and UDP.
    public static func one() throws -> Int {
        try state.with { state in
            while true {
                if state.next >= state.end {
                    state.next = try claim(&state) * blockSize
                    state.end = state.next + blockSize
                }
                defer { state.next += 1 }
                if isFree(state.next) { return state.next }
            }
        }
    }

    /// Neighbouring ports, at most 1000; all of them free just now.
    public static func range(_ count: Int) throws -> ClosedRange<Int> {
        try state.with { state in
            while true {
                if count < blockSize, state.end - state.next >= count {
                    let range = state.next...(state.next + count - 1)
                    if let taken = range.last(where: { !isFree($0) }) {
                        state.next = taken + 1
                        continue
                    }
                    state.next += count
                    return range
                }
                let start = try claim(&state) * blockSize
                if count < blockSize {
                    (state.next, state.end) = (start, start + blockSize)
                    continue
                }
                let range = start...(start + count - 1)
                if range.allSatisfy(isFree) { return range }
            }
        }
    }

    /// A block of ports for this process alone; held until it ends. When all are ours already, the oldest comes again.
    private static func claim(_ state: inout State) throws -> Int {
        let folder = "/tmp/p2prc-test-ports"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let offset = Int(getpid()) % blocks.count
        for block in blocks[offset...] + blocks[..<offset] where !state.mine.contains(block) {
            let fd = open("\(folder)/\(block)", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
            guard fd >= 0 else { continue }
            if flock(fd, LOCK_EX | LOCK_NB) == 0 {
                state.mine.append(block)
                return block
            }
            close(fd)
        }
        guard !state.mine.isEmpty else { throw Failure("no block of free ports left in 10000-30999") }
        let oldest = state.mine.removeFirst()
        state.mine.append(oldest)
        return oldest
    }

    private static func isFree(_ port: Int) -> Bool {
        [SOCK_STREAM, SOCK_DGRAM].allSatisfy { kind in
            [AF_INET, AF_INET6].allSatisfy { canBind(port, $0, Int32(kind.rawValue)) }
        }
    }

    private static func canBind(_ port: Int, _ family: Int32, _ kind: Int32) -> Bool {
        let fd = socket(family, kind | Int32(SOCK_CLOEXEC.rawValue), 0)
        // A machine without IPv6 has nothing to collide there.
        guard fd >= 0 else { return true }
        defer { close(fd) }
        var yes: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        if family == AF_INET {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(port).bigEndian
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
        }
        setsockopt(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &yes, 4)
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = UInt16(port).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0 || errno == EADDRNOTAVAIL
            }
        }
    }
}
