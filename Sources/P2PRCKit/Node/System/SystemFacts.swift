import FoundationEssentials
import Glibc

/// What the machine says of itself.
enum SystemFacts {
    static var hostName: String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let status = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { gethostname($0, text.count - 1) } ?? -1
            }
        }
        let name = String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
        return status == 0 && !name.isEmpty ? name : "node"
    }

    static func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

    /// $HOME, else what the list of users says; `nil` where neither names a folder.
    static var homeFolder: String? {
        let known = [environment("HOME"), user(geteuid()).map { String(cString: $0.pointee.pw_dir) }]
        return known.compactMap { $0 }.first { $0.hasPrefix("/") && $0 != "/" }
    }

    /// What the owner of a file is called; the number where there is no name. `nil` where it cannot be looked at.
    static func owner(of path: String) -> String? {
        // Not by stat(2): with Swift's libraries linked statically its fields are another module's.
        let facts = try? FileManager.default.attributesOfItem(atPath: path)
        return facts?[.ownerAccountName] as? String ?? facts?[.ownerAccountID].map { "\($0)" }
    }

    /// Valid until the next call; for commands, which have one thread that asks.
    private static func user(_ number: uid_t) -> UnsafeMutablePointer<passwd>? { getpwuid(number) }

    static var isRoot: Bool { geteuid() == 0 }

    /// First of the ports that the system takes for outgoing connections (ip(7), ip_local_port_range).
    static var firstEphemeralPort: UInt16 {
        let path = "/proc/sys/net/ipv4/ip_local_port_range"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            let first = text.split(whereSeparator: { $0 == "\t" || $0 == " " || $0 == "\n" }).first,
            let port = UInt16(first), port > 1
        else { return 32_768 }
        return port
    }

    /// Ports from here on need no right of their own (ip(7), ip_unprivileged_port_start).
    static var firstUnprivilegedPort: UInt16 {
        let text = try? String(contentsOfFile: "/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding: .utf8)
        return text.flatMap { UInt16($0.prefix { $0.isNumber }) } ?? 1_024
    }

    /// Whether this process has CAP_NET_BIND_SERVICE (capabilities(7)).
    static var mayBindPrivilegedPorts: Bool {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
            let set = UInt64(line.drop { !$0.isWhitespace }.drop(while: \.isWhitespace), radix: 16)
        else { return true }
        return set & 1 << 10 != 0
    }

    /// As many descriptors as this user may have.
    static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// How many descriptors this process may have open.
    static var descriptorLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Bytes of memory that this process may have: the machine's, or less where its control group says so (cgroups(7)).
    static var memory: Int {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let machine = pages > 0 ? pages * sysconf(Int32(_SC_PAGESIZE)) : 1 << 30
        let text = try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8)
        let group = text.flatMap { Int($0.prefix { $0.isNumber }) } ?? machine
        return max(1, min(machine, group))
    }

    /// CLOCK_REALTIME.
    static var nanosecondsSince1970: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
