internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
public import PeerWire

/// What a P2PRC node gets from the adapter.
public struct P2PRCAnswers: Sendable {
    /// What this node calls itself there.
    public let name: String
    /// Takes a table that was posted, and answers with this node's own.
    public let exchange: @Sendable (P2PRCTable) async -> P2PRCTable

    public init(name: String, exchange: @escaping @Sendable (P2PRCTable) async -> P2PRCTable) {
        self.name = name
        self.exchange = exchange
    }
}

/// The two routes that P2PRC nodes need to exchange tables, in P2PRC's form; nothing else of it is answered.
///
/// | request | answer |
/// |---|---|
/// | `GET /server_info` | facts about the machine: the sign of life, asked three times in a row |
/// | `POST /IpTable` | a form with the part `json`, or the table itself → this node's table |
///
/// There is nobody to trust here: plain HTTP, no names, no keys. One answer a connection.
struct P2PRCRoutes: RequestRoutes {
    /// Rows of a table that is posted.
    static let maximumRows = 1_024

    let answers: P2PRCAnswers
    let limits: APILimits
    let log: Logger

    /// P2PRC's facts; what is nobody's business is left empty.
    private struct ServerInfo: Encodable {
        let Hostname: String
        let Platform = "linux"
        let CPU = ""
        let RAM = 0
        let Disk = 0

        enum CodingKeys: CodingKey { case Hostname, Platform, CPU, RAM, Disk, GPU }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(Hostname, forKey: .Hostname)
            try container.encode(Platform, forKey: .Platform)
            try container.encode(CPU, forKey: .CPU)
            try container.encode(RAM, forKey: .RAM)
            try container.encode(Disk, forKey: .Disk)
            try container.encodeNil(forKey: .GPU)
        }
    }

    func response(to request: Request, from preface: ProxyPreface) async throws -> Response {
        var response = try await answer(to: request)
        response.headers[.connection] = "close"
        response.headers[.cacheControl] = "no-store"
        return response
    }

    private func answer(to request: Request) async throws -> Response {
        guard let body = try await body(of: request) else {
            return Self.text(.contentTooLarge, "error: a table has at most \(limits.body) bytes")
        }
        switch (request.method, request.uri.path) {
        case (.get, "/server_info"): return try Answer.json(ServerInfo(Hostname: answers.name))
        case (.post, "/IpTable"): return await exchange(request, body)
        default: return Self.text(.notFound, "error: this node exchanges tables, and nothing else")
        }
    }

    private func exchange(_ request: Request, _ body: [UInt8]) async -> Response {
        let type = request.headers[.contentType] ?? ""
        let isForm = type.lowercased().hasPrefix("multipart/")
        guard let json = isForm ? MultipartForm.part(named: "json", in: body, contentType: type) : body[...] else {
            return Self.text(.badRequest, "error: the form has no part json")
        }
        let table: P2PRCTable
        do throws(P2PRCFault) {
            table = try P2PRCTable(json: Array(json), maximumByteCount: limits.body, maximumRows: Self.maximumRows)
        } catch { return Self.text(.badRequest, "error: this is no IP table: \(error)") }
        let reply = await answers.exchange(table)
        return Response(
            status: .ok, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: reply.json(.compact))))
    }

    /// To its end; `nil` if it is too long.
    private func body(of request: Request) async throws -> [UInt8]? {
        if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > limits.body { return nil }
        var bytes: [UInt8] = []
        for try await part in request.body {
            bytes += part.readableBytesView
            if bytes.count > limits.body { return nil }
        }
        return bytes
    }

    private static func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\n")))
    }
}
