internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// The documents that are sent, all JSON (json/schema/api_*.schema.json).
enum Answer {
    struct Alive: Encodable {
        let alive = true
    }

    struct Failure: Encodable {
        let error: String
    }

    static func json(_ document: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return response(status, try encoder.encode(document))
    }

    /// One line for whoever reads it, with nothing in it that the caller did not know.
    static func error(_ status: HTTPResponse.Status, _ text: String) -> Response {
        do {
            return try json(Failure(error: text), status)
        } catch {
            return Response(status: status)
        }
    }

    private static func response(_ status: HTTPResponse.Status, _ bytes: Data) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
