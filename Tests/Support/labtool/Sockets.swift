import Glibc

/// What the kernel said, by its name (`ECONNREFUSED`), so that results can be counted by it.
struct SocketError: Error, CustomStringConvertible {
    let call: String
    let code: Int32

    init(_ call: String, _ code: Int32 = errno) {
        self.call = call
        self.code = code
    }

    var name: String { SocketError.name(code) }
    var description: String { "\(call): \(name)" }

    static func name(_ code: Int32) -> String {
        switch code {
        case ECONNREFUSED: "ECONNREFUSED"
        case ECONNRESET: "ECONNRESET"
        case ECONNABORTED: "ECONNABORTED"
        case EPIPE: "EPIPE"
        case ETIMEDOUT: "ETIMEDOUT"
        case EHOSTUNREACH: "EHOSTUNREACH"
        case ENETUNREACH: "ENETUNREACH"
        case EADDRINUSE: "EADDRINUSE"
        case EADDRNOTAVAIL: "EADDRNOTAVAIL"
        case EACCES: "EACCES"
        case EMFILE: "EMFILE"
        case EAGAIN: "EAGAIN"
        default: "errno \(code)"
        }
    }
}

/// An address to dial or to listen on, IPv4 or IPv6.
struct Endpoint {
    private var storage = sockaddr_storage()
    private let length: socklen_t
    let family: Int32

    init(host: String, port: Int, toListen: Bool = false) throws {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = toListen ? AI_PASSIVE : 0
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0, let first = list else {
            throw UsageError(text: "\(host):\(port) does not resolve")
        }
        defer { freeaddrinfo(list) }
        family = first.pointee.ai_family
        length = first.pointee.ai_addrlen
        memcpy(&storage, first.pointee.ai_addr, Int(length))
    }

    func withAddress<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}

enum Socket {
    static func make(_ family: Int32) throws -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let fd = socket(family, type, 0)
        guard fd >= 0 else { throw SocketError("socket") }
        return fd
    }

    static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    static func noDelay(_ fd: Int32) { set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }

    static func nonBlocking(_ fd: Int32) { _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) }

    /// The next `close` sends an RST.
    static func abortOnClose(_ fd: Int32) {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Takes `abortOnClose` back.
    static func closeOrderly(_ fd: Int32) {
        var value = linger(l_onoff: 0, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    static func timeouts(_ fd: Int32, seconds: Int) {
        var value = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Without `--bind`, IPv4 and IPv6.
    static func listen(_ host: String?, port: Int, reuse: Bool = true) throws -> Int32 {
        let endpoint = try Endpoint(host: host ?? "::", port: port, toListen: true)
        let fd = try make(endpoint.family)
        if reuse { set(fd, SOL_SOCKET, SO_REUSEADDR, 1) }
        if endpoint.family == AF_INET6 { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, host == nil ? 0 : 1) }
        guard endpoint.withAddress({ bind(fd, $0, $1) }) == 0 else {
            defer { close(fd) }
            throw SocketError("bind")
        }
        guard Glibc.listen(fd, 4096) == 0 else {
            defer { close(fd) }
            throw SocketError("listen")
        }
        return fd
    }

    static func port(of fd: Int32) -> Int {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(fd, $0, &length) }
            // The port sits at the same place in both families.
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                Int(UInt16(bigEndian: $0.pointee.sin_port))
            }
        }
    }

    /// A blocking connection, every call on it bounded.
    static func connect(_ endpoint: Endpoint, seconds: Int) throws -> Int32 {
        let fd = try make(endpoint.family)
        timeouts(fd, seconds: seconds)
        noDelay(fd)
        guard endpoint.withAddress({ Glibc.connect(fd, $0, $1) }) == 0 else {
            let code = errno
            close(fd)
            throw SocketError("connect", code == EINPROGRESS ? ETIMEDOUT : code)
        }
        return fd
    }

    /// Starts a connection; a failure that is known at once is thrown, the others come as events.
    static func startConnect(_ endpoint: Endpoint, from source: Endpoint? = nil) throws -> Int32 {
        let fd = try make(endpoint.family)
        nonBlocking(fd)
        noDelay(fd)
        if let source {
            // The port is chosen with the connection: otherwise they would run out (ip(7), IP_BIND_ADDRESS_NO_PORT).
            set(fd, Int32(IPPROTO_IP), 24, 1)
            guard source.withAddress({ bind(fd, $0, $1) }) == 0 else {
                defer { close(fd) }
                throw SocketError("bind")
            }
        }
        guard endpoint.withAddress({ Glibc.connect(fd, $0, $1) }) != 0, errno != EINPROGRESS else { return fd }
        let code = errno
        close(fd)
        throw SocketError("connect", code)
    }

    static func pendingError(_ fd: Int32) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    static func writeAll(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) throws {
        var offset = 0
        while offset < bytes.count {
            let count = write(fd, bytes.baseAddress! + offset, bytes.count - offset)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SocketError("write") }
            offset += count
        }
    }

    static func writeAll(_ fd: Int32, _ text: String) throws {
        try Array(text.utf8).withUnsafeBytes { try writeAll(fd, $0) }
    }

    /// Zero at the end of the stream.
    static func readSome(_ fd: Int32, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = read(fd, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SocketError("read", errno == EAGAIN ? ETIMEDOUT : errno) }
            return count
        }
    }

    /// As many descriptors as the system lets us have.
    static func raiseDescriptorLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

enum Clock {
    static func milliseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    static func microseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    }

    static func nanoseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec
    }

    static func sleep(milliseconds: Int) {
        var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
        nanosleep(&time, nil)
    }
}
