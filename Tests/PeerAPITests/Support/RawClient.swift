import Glibc

/// A blocking Unix socket that sends what it is told, byte for byte, and sees how the other end ends.
final class RawClient {
    enum Ending: Equatable {
        /// The other end closed in order.
        case end
        case reset
        /// Nothing, for the whole limit.
        case silent
    }

    struct Reply: Equatable {
        var status: Int
        var headers: [String: String]
        var body: String
    }

    struct Broken: Error, CustomStringConvertible {
        let description: String
    }

    private let descriptor: Int32
    private var received: [UInt8] = []
    private(set) var ending: Ending?

    /// - Parameter limit: seconds that a read waits; a test that waits that long has failed.
    init(_ path: String, limit: Int = 20) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        var time = timeval(tv_sec: limit, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else { throw Broken(description: "connect \(path): \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    /// `false` when the other end takes nothing any more.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The next whole answer.
    func reply(toHead: Bool = false) throws -> Reply {
        let separator = Array("\r\n\r\n".utf8)
        while true {
            if let end = received.indices.first(where: { received[$0...].starts(with: separator) }) {
                let lines = String(decoding: received[..<end], as: UTF8.self).components("\r\n")
                let words = lines[0].split(separator: " ")
                guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
                    throw Broken(description: "no status line: \(lines[0])")
                }
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
                    headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
                }
                let length = toHead ? 0 : headers["content-length"].flatMap { Int($0) } ?? 0
                let total = end + separator.count + length
                if received.count >= total {
                    let body = String(decoding: received[(end + separator.count)..<total], as: UTF8.self)
                    received.removeFirst(total)
                    return Reply(status: status, headers: headers, body: body)
                }
            }
            guard readMore() else {
                throw Broken(description: "no whole answer but \(String(decoding: received, as: UTF8.self))")
            }
        }
    }

    /// What comes until the other end ends, and how it does.
    func rest() -> (text: String, ending: Ending) {
        while readMore() {}
        defer { received = [] }
        return (String(decoding: received, as: UTF8.self), ending ?? .silent)
    }

    private func readMore() -> Bool {
        guard ending == nil else { return false }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count > 0 {
            received += chunk[..<count]
            return true
        }
        ending = count == 0 ? .end : errno == EAGAIN ? .silent : .reset
        return false
    }
}

extension String {
    fileprivate func components(_ separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
