import Glibc

/// Which TCP ports of this machine have a listener, read from the system's tables (proc(5)): so a local service can
/// be watched without connecting to it.
public struct ListeningPorts: Sendable {
    private var loopback: Set<UInt16> = []

    /// Whether something listens on 127.0.0.1:`port`.
    public func contains(_ port: UInt16) -> Bool { loopback.contains(port) }

    public init() {
        read("/proc/net/tcp") { address in address == "00000000" || address == "0100007F" }
        // A listener for IPv6 on all addresses takes IPv4 too, unless it says otherwise; then the connection fails.
        read("/proc/net/tcp6") { address in
            address.allSatisfy { $0 == UInt8(ascii: "0") } || address.hasSuffix("FFFF00000100007F")
        }
    }

    private mutating func read(_ path: String, isOnLoopback: (Address) -> Bool) {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return }
        let file = Descriptor(fd)
        var chunk = [UInt8](repeating: 0, count: 32_768)
        var rest: [UInt8] = []
        var isHeader = true
        while true {
            let count = Glibc.read(file.raw, &chunk, chunk.count)
            guard count > 0 else { return }
            rest.append(contentsOf: chunk[..<count])
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let fields = rest[..<end].split(separator: UInt8(ascii: " "))
                rest.removeSubrange(...end)
                defer { isHeader = false }
                guard !isHeader, fields.count > 3 else { continue }
                // Listeners (state 0A) come first in the table.
                guard fields[3].elementsEqual("0A".utf8) else { return }
                let parts = fields[1].split(separator: UInt8(ascii: ":"))
                guard parts.count == 2, isOnLoopback(Address(parts[0])),
                    let port = UInt16(String(decoding: parts[1], as: UTF8.self), radix: 16)
                else { continue }
                loopback.insert(port)
            }
        }
    }

    private struct Address {
        let digits: ArraySlice<UInt8>
        init(_ digits: ArraySlice<UInt8>) { self.digits = digits }
        static func == (address: Address, text: String) -> Bool { address.digits.elementsEqual(text.utf8) }
        func allSatisfy(_ isTrue: (UInt8) -> Bool) -> Bool { digits.allSatisfy(isTrue) }
        func hasSuffix(_ text: String) -> Bool { digits.suffix(text.utf8.count).elementsEqual(text.utf8) }
    }
}
