import Glibc

/// A small HTTP/1.1 service with keep-alive.
///
///     GET  /blob/<bytes>     that many bytes of the blob
///     GET  /sha256/<bytes>   the digest of the same, to be asked on the near side
///     PUT or POST /sink      reads the body, answers `<sha256> <length>`
///     anything else          --body
///
/// With `--abort-when-killed`, its death in the middle of an answer sends an RST; otherwise the kernel ends its streams
/// with an ordinary FIN, which nobody can tell from a finished answer.
enum HTTPService {
    static func run(_ arguments: Arguments) throws {
        let body = try arguments.text("body", or: "hello from labtool\n")
        let aborts = arguments.has("abort-when-killed")
        nonisolated(unsafe) let blob = Blob()
        try Service.run(arguments) { fd in
            if aborts { Socket.abortOnClose(fd) }
            let exchange = Exchange(fd, body: body, blob: blob)
            while try exchange.next() {}
            if aborts { Socket.closeOrderly(fd) }
        }
    }
}

private final class Exchange {
    private let fd: Int32
    private let body: String
    private let blob: Blob
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    private var unread: [UInt8] = []

    init(_ fd: Int32, body: String, blob: Blob) {
        self.fd = fd
        self.body = body
        self.blob = blob
    }

    deinit { buffer.deallocate() }

    /// One request and its answer; false when the visitor has gone.
    func next() throws -> Bool {
        guard let head = try readHead() else { return false }
        let lines = head.split(separator: "\r\n", omittingEmptySubsequences: true)
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count == 3 else {
            try answer("400 Bad Request", "not HTTP\n")
            return false
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            headers[parts[0].lowercased()] = parts[1].trimmingSpaces()
        }
        if headers["expect"]?.lowercased() == "100-continue" {
            try Socket.writeAll(fd, "HTTP/1.1 100 Continue\r\n\r\n")
        }
        if words[0] == "PUT" || words[0] == "POST" {
            try sink(length: Int(headers["content-length"] ?? "") ?? 0)
        } else if let count = number(words[1], "/blob/") {
            try Socket.writeAll(fd, "HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n")
            try blob.forEachPiece(from: 0, count: count) { try Socket.writeAll(fd, $0) }
        } else if let count = number(words[1], "/sha256/") {
            let digest = try Digest()
            try blob.forEachPiece(from: 0, count: count) { try digest.add($0) }
            try answer("200 OK", digest.finish() + "\n")
        } else {
            try answer("200 OK", body)
        }
        return headers["connection"]?.lowercased() != "close"
    }

    private func number(_ path: Substring, _ prefix: String) -> Int? {
        path.hasPrefix(prefix) ? Arguments.count(String(path.dropFirst(prefix.count))) : nil
    }

    private func answer(_ status: String, _ text: String) throws {
        try Socket.writeAll(fd, "HTTP/1.1 \(status)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
    }

    private func readHead() throws -> String? {
        var searched = 0
        while true {
            let end: [UInt8] = [13, 10, 13, 10]
            while searched + 4 <= unread.count {
                if Array(unread[searched..<searched + 4]) == end {
                    let head = String(decoding: unread[..<searched], as: UTF8.self)
                    unread.removeFirst(searched + 4)
                    return head
                }
                searched += 1
            }
            guard unread.count < 64 << 10 else { return nil }
            let count = try Socket.readSome(fd, buffer)
            guard count > 0 else { return nil }
            unread.append(contentsOf: buffer[..<count])
        }
    }

    private func sink(length: Int) throws {
        let digest = try Digest()
        let first = min(length, unread.count)
        try unread[..<first].withUnsafeBytes { try digest.add($0) }
        unread.removeFirst(first)
        var total = first
        while total < length {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, length - total)])
            let count = try Socket.readSome(fd, room)
            guard count > 0 else { throw SocketError("body ended early", ECONNABORTED) }
            try digest.add(UnsafeRawBufferPointer(rebasing: room[..<count]))
            total += count
        }
        try answer("200 OK", "\(digest.finish()) \(total)\n")
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> String {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
