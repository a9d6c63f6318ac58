internal import CLinux
import Glibc
public import PeerWire

/// An IP address with a port.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Host: Hashable, Sendable {
        case ipv4([UInt8])
        case ipv6([UInt8], scope: UInt32)
    }

    public var host: Host
    public var port: UInt16

    public init(host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads a numeric address, IPv6 with or without brackets; names are for the `Resolver`.
    public init?(numeric text: String, port: UInt16) {
        let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        var v4 = in_addr()
        if inet_pton(AF_INET, bare, &v4) == 1 {
            self.init(host: .ipv4(withUnsafeBytes(of: &v4) { Array($0) }), port: port)
            return
        }
        let parts = bare.split(separator: "%", maxSplits: 1)
        var v6 = in6_addr()
        guard let address = parts.first, inet_pton(AF_INET6, String(address), &v6) == 1 else { return nil }
        var scope: UInt32 = 0
        if bare.contains("%") {
            // An interface by name or number; without a known one, such an address leads nowhere.
            guard parts.count > 1 else { return nil }
            scope = UInt32(parts[1]) ?? UInt32(if_nametoindex(String(parts[1])))
            guard scope > 0 else { return nil }
        }
        self.init(host: .ipv6(withUnsafeBytes(of: &v6) { Array($0) }, scope: scope), port: port)
    }

    /// All addresses of this machine, IPv6 and IPv4.
    public static func any(port: UInt16) -> SocketAddress {
        SocketAddress(host: .ipv6([UInt8](repeating: 0, count: 16), scope: 0), port: port)
    }

    public static func anyIPv4(port: UInt16) -> SocketAddress {
        SocketAddress(host: .ipv4([0, 0, 0, 0]), port: port)
    }

    init?(_ storage: sockaddr_storage) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            let v4 = withUnsafeBytes(of: &storage) { $0.loadUnaligned(as: sockaddr_in.self) }
            var address = v4.sin_addr
            self.init(
                host: .ipv4(withUnsafeBytes(of: &address) { Array($0) }), port: UInt16(bigEndian: v4.sin_port))
        case AF_INET6:
            let v6 = withUnsafeBytes(of: &storage) { $0.loadUnaligned(as: sockaddr_in6.self) }
            var address = v6.sin6_addr
            let bytes = withUnsafeBytes(of: &address) { Array($0) }
            let port = UInt16(bigEndian: v6.sin6_port)
            // An IPv4 visitor on a socket for both families.
            if bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] {
                self.init(host: .ipv4(Array(bytes.suffix(4))), port: port)
            } else {
                self.init(host: .ipv6(bytes, scope: v6.sin6_scope_id), port: port)
            }
        default: return nil
        }
    }

    var family: Int32 {
        switch host {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        }
    }

    func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        switch host {
        case .ipv4(let bytes):
            var v4 = sockaddr_in()
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &v4.sin_addr) { $0.copyBytes(from: bytes.prefix(4)) }
            return withUnsafePointer(to: &v4) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .ipv6(let bytes, let scope):
            var v6 = sockaddr_in6()
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            v6.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &v6.sin6_addr) { $0.copyBytes(from: bytes.prefix(16)) }
            return withUnsafePointer(to: &v6) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
    }

    /// 4 or 16 bytes.
    public var hostBytes: [UInt8] {
        switch host {
        case .ipv4(let bytes), .ipv6(let bytes, _): bytes
        }
    }

    public var isLoopback: Bool {
        switch host {
        case .ipv4(let bytes): bytes.first == 127
        case .ipv6(let bytes, _): bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        }
    }

    public var isUnspecified: Bool {
        switch host {
        case .ipv4(let bytes), .ipv6(let bytes, _): bytes.allSatisfy { $0 == 0 }
        }
    }

    /// The host alone, without brackets.
    public var hostText: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch host {
        case .ipv4(let bytes): inet_ntop(AF_INET, bytes, &text, socklen_t(text.count))
        case .ipv6(let bytes, _): inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count))
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    public var description: String {
        switch host {
        case .ipv4: "\(hostText):\(port)"
        case .ipv6: "[\(hostText)]:\(port)"
        }
    }

    public var visitorAddress: VisitorAddress {
        switch host {
        case .ipv4(let bytes): VisitorAddress(isIPv6: false, host: bytes, port: port)
        case .ipv6(let bytes, _): VisitorAddress(isIPv6: true, host: bytes, port: port)
        }
    }

    /// The address of this end of a socket, or of the other.
    static func local(of fd: Int32) -> SocketAddress? { name(fd, getsockname) }
    static func remote(of fd: Int32) -> SocketAddress? { name(fd, getpeername) }

    private static func name(
        _ fd: Int32, _ call: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(fd, $0, &length) }
        }
        return status == 0 ? SocketAddress(storage) : nil
    }
}

/// A host, by name or number, and a port, as a user writes them: `relay.example.org:8088`, `[2001:db8::1]:8088`,
/// `host`.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// As text; of several ports in a row, from this one on, `relay.example.org:5000-5009`.
    public func text(ofPorts count: Int) -> String {
        count > 1 ? "\(description)-\(Int(port) + count - 1)" : description
    }

    /// `nil` when the port is no number from 1 to 65535 or the host is empty or cannot be one.
    public init?(_ text: String, defaultPort: UInt16? = nil) {
        var host = Substring(text)
        var portText: Substring?
        if text.hasPrefix("[") {
            guard let bracket = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<bracket]
            let rest = text[text.index(after: bracket)...]
            if !rest.isEmpty {
                guard rest.hasPrefix(":") else { return nil }
                portText = rest.dropFirst()
            }
            guard SocketAddress(numeric: String(host), port: 1) != nil else { return nil }
        } else if text.filter({ $0 == ":" }).count > 1 {
            guard SocketAddress(numeric: text, port: 1) != nil else { return nil }
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            portText = text[text.index(after: colon)...]
        }
        // As others take it; brackets are ours, and a zone behind `%` could hold some.
        guard HostText.isHost(host) else { return nil }
        // `300.1.1.1` is a slip and nobody's name; `127.1` is an address, in the short form that resolvers take.
        var address = in_addr()
        if host.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }), inet_aton(String(host), &address) == 0 {
            return nil
        }
        if let portText {
            let isNumber = portText.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            guard isNumber, let port = UInt16(portText), port > 0 else { return nil }
            self.init(host: String(host), port: port)
        } else {
            guard let defaultPort else { return nil }
            self.init(host: String(host), port: defaultPort)
        }
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
