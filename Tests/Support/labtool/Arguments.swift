import Glibc

struct UsageError: Error { let text: String }

/// `--name value` pairs; a name without a value is a switch. Unknown names are errors at the end (`done`).
struct Arguments {
    let tool: String
    private var values: [String: String] = [:]

    init(tool: String, words: [String]) throws {
        self.tool = tool
        var index = 0
        while index < words.count {
            guard words[index].hasPrefix("--") else { throw UsageError(text: "unexpected \(words[index])") }
            let name = String(words[index].dropFirst(2))
            if index + 1 < words.count, !words[index + 1].hasPrefix("--") {
                values[name] = words[index + 1]
                index += 2
            } else {
                values[name] = ""
                index += 1
            }
        }
    }

    func has(_ name: String) -> Bool { values[name] != nil }

    func text(_ name: String, or fallback: String? = nil) throws -> String {
        guard let value = values[name] ?? fallback else { throw UsageError(text: "--\(name) is missing") }
        return value
    }

    func number(_ name: String, or fallback: Int? = nil) throws -> Int {
        if let text = values[name] {
            guard let value = Arguments.count(text) else {
                throw UsageError(text: "--\(name) \(text) is not a number")
            }
            return value
        }
        guard let fallback else { throw UsageError(text: "--\(name) is missing") }
        return fallback
    }

    /// `--range LOW-HIGH`, both ends included.
    func range(_ name: String) throws -> ClosedRange<Int> {
        let parts = try text(name).split(separator: "-").compactMap { Int($0) }
        guard parts.count == 2, parts[0] <= parts[1] else { throw UsageError(text: "--\(name) wants LOW-HIGH") }
        return parts[0]...parts[1]
    }

    /// The one limit that every run has.
    func limit() throws -> Int { try number("seconds", or: 600) }

    func endpoint() throws -> Endpoint {
        try Endpoint(host: text("address", or: "127.0.0.1"), port: number("port"))
    }

    /// `--ports 1,2,3`, else `--port`.
    func endpoints() throws -> [Endpoint] {
        guard has("ports") else { return [try endpoint()] }
        let host = try text("address", or: "127.0.0.1")
        return try text("ports").split(separator: ",").compactMap { Int($0) }.map { try Endpoint(host: host, port: $0) }
    }

    /// `10KiB`, `3MiB`, `1GiB` or plain bytes.
    static func count(_ text: String) -> Int? {
        for (suffix, factor) in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)] where text.hasSuffix(suffix) {
            return Int(text.dropLast(suffix.count)).map { $0 * factor }
        }
        return Int(text)
    }
}
