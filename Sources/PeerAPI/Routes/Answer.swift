internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

extension HTTPField.Name {
    /// A proof that the sender is a member of the mesh, in requests and answers.
    static let p2prcMember = HTTPField.Name(parsed: "p2prc-member") ?? .authorization
}

/// The documents that are sent, JSON but for what nodes say to each other (json/schema/api_*.schema.json).
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

    /// What nodes say to each other.
    static func bytes(_ bytes: [UInt8], proof: String?) -> Response {
        var headers: HTTPFields = [.contentType: "application/octet-stream"]
        if let proof { headers[.p2prcMember] = proof }
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private static func response(_ status: HTTPResponse.Status, _ bytes: Data) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
