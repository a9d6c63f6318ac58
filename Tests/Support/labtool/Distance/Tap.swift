import Glibc

/// TAP devices (Documentation/networking/tuntap.rst of the kernel), which live as long as their descriptor.
enum Tap {
    private static let setDevice: UInt = 0x4004_54ca  // TUNSETIFF
    private static let setOffload: UInt = 0x4004_54d0  // TUNSETOFFLOAD
    private static let flags: Int16 = 0x0002 | 0x1000 | 0x4000  // IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
    private static let checksumsAndSegments = 0x01 | 0x02 | 0x04  // TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6

    /// Makes a device in that namespace. This thread is back where it was afterwards.
    static func open(in namespace: String, named name: String) throws -> Int32 {
        let here = Glibc.open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)
        let there = Glibc.open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
        defer {
            close(here)
            close(there)
        }
        guard here >= 0, there >= 0, enter(there) else { throw SocketError("setns \(namespace)") }
        defer { _ = enter(here) }
        let fd = Glibc.open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { throw SocketError("open /dev/net/tun") }
        // struct ifreq: the name in 16 bytes, then the flags.
        var request = [UInt8](repeating: 0, count: 40)
        for (index, byte) in name.utf8.prefix(15).enumerated() { request[index] = byte }
        withUnsafeBytes(of: flags) { request.replaceSubrange(16..<18, with: $0) }
        guard request.withUnsafeMutableBytes({ Unseen.ioctl(fd, setDevice, Int(bitPattern: $0.baseAddress!)) }) == 0
        else {
            defer { close(fd) }
            throw SocketError("TUNSETIFF \(name)")
        }
        return fd
    }

    /// Whether the device hands over TCP segments of up to 64 KiB, and without checksums.
    static func setLargeSegments(_ fd: Int32, _ on: Bool) {
        _ = Unseen.ioctl(fd, setOffload, on ? checksumsAndSegments : 0)
    }

    private static func enter(_ namespace: Int32) -> Bool {
        Unseen.setns(namespace, 0x4000_0000) == 0  // CLONE_NEWNET
    }
}

/// Calls that Glibc's module leaves out, or shows as variadic only.
enum Unseen {
    typealias Setns = @convention(c) (Int32, Int32) -> Int32
    typealias Ioctl = @convention(c) (Int32, UInt, Int) -> Int32
    typealias Ppoll =
        @convention(c) (
            UnsafeMutablePointer<pollfd>?, nfds_t, UnsafePointer<timespec>?, UnsafeRawPointer?
        ) -> Int32

    static let setns = unsafeBitCast(dlsym(dlopen(nil, RTLD_NOW), "setns"), to: Setns.self)
    static let ioctl = unsafeBitCast(dlsym(dlopen(nil, RTLD_NOW), "ioctl"), to: Ioctl.self)
    static let ppoll = unsafeBitCast(dlsym(dlopen(nil, RTLD_NOW), "ppoll"), to: Ppoll.self)
}
