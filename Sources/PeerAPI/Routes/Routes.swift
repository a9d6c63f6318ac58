internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import PeerWire

/// Answers the requests of one kind of caller.
protocol RequestRoutes: Sendable {
    func response(to request: Request, from preface: ProxyPreface) async throws -> Response
}

/// What is answered to whom.
///
/// | caller | `GET /v1/alive` | what there is | anything else |
/// |---|---|---|---|
/// | no node key | 200 | 401 | 401 |
/// | a key that is no member | 200 | 403 | 403 |
/// | a member | 200 | 200 | 404 |
///
/// Who is no member gets the same bytes for every path, and one answer a connection. `POST /v1/mesh` may bring a proof
/// of membership with it, so it is looked at before anybody is turned away.
struct Routes: RequestRoutes {
    static let meshPath = "/v1/mesh"

    private let responder: RouterResponder<APIContext>
    private let isMember: MembershipCheck
    private let mesh: MeshResponder?
    private let limits: APILimits
    private let log: Logger

    init(
        facts: @escaping @Sendable () async -> NodeFacts, isMember: @escaping MembershipCheck, mesh: MeshResponder?,
        limits: APILimits, log: Logger
    ) {
        let router = Router(context: APIContext.self)
        router.add(middleware: MembersOnly())
        router.get("/v1/node") { _, _ in try Answer.json(await facts()) }
        responder = router.buildResponder()
        self.isMember = isMember
        self.mesh = mesh
        self.limits = limits
        self.log = log
    }

    func response(to request: Request, from preface: ProxyPreface) async throws -> Response {
        guard let body = try await body(of: request) else {
            return finished(Answer.error(.contentTooLarge, "a request has at most \(limits.body) bytes"), request)
        }
        // The mesh judges members by itself: for its questions nobody else has to be asked.
        if let response = await meshResponse(to: request, from: preface, body) { return finished(response, request) }
        let caller = await Caller(preface, isMember: isMember)
        var response: Response
        if request.method == .get, request.uri.path == "/v1/alive" {
            response = try Answer.json(Answer.Alive())
        } else {
            do {
                let source = APIContext.Source(logger: log, caller: caller)
                response = try await responder.respond(to: request, context: APIContext(source: source))
            } catch {
                log.error("the API failed on \(request.method) \(request.uri.path): \(error); please report it")
                response = Answer.error(.internalServerError, "this failed here; the node's log says why")
            }
        }
        if !caller.isMember { response.headers[.connection] = "close" }
        return finished(response, request)
    }

    /// `nil` where it is another route's, or nobody's.
    private func meshResponse(to request: Request, from preface: ProxyPreface, _ body: [UInt8]) async -> Response? {
        guard let mesh, request.method == .post, request.uri.path == Self.meshPath,
            case .proxied(let connection) = preface, let key = connection.nodeKey
        else { return nil }
        guard let source = NodeAddress(host: HostAddress(connection.source), port: connection.source.port) else {
            return Answer.error(.badRequest, "port 0 is nobody's")
        }
        switch await mesh(MeshQuestion(key: key, source: source, proof: request.headers[.p2prcMember], body: body)) {
        case .answer(let bytes, let proof): return Answer.bytes(bytes, proof: proof)
        case .busy: return Answer.error(.tooManyRequests, "this node has been asked often enough; ask again later")
        case .malformed: return Answer.error(.badRequest, "these bytes say nothing (docs/mesh.md)")
        case .stranger: return nil
        }
    }

    /// Reads the body to its end, for what is left of it would be read as the next request; `nil` if it is too long.
    private func body(of request: Request) async throws -> [UInt8]? {
        if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > limits.body {
            return nil
        }
        var bytes: [UInt8] = []
        for try await part in request.body {
            bytes += part.readableBytesView
            if bytes.count > limits.body { return nil }
        }
        return bytes
    }

    private func finished(_ response: Response, _ request: Request) -> Response {
        var response = response
        if response.status == .contentTooLarge { response.headers[.connection] = "close" }
        response.headers[.cacheControl] = "no-store"
        return request.method == .head ? response.createHeadResponse() : response
    }
}

/// Lets nobody but members through to the routes, nor to the news that there is none.
private struct MembersOnly: RouterMiddleware {
    func handle(
        _ request: Request, context: APIContext, next: (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        let caller = context.caller
        if caller.isMember { return try await answer(request, context, next) }
        return caller.key == nil
            ? Answer.error(.unauthorized, "this node answers to members only: no client certificate was shown")
            : Answer.error(.forbidden, "this node answers to members only: the key of this certificate is none")
    }

    /// The router's own refusals have no body.
    private func answer(
        _ request: Request, _ context: APIContext, _ next: (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            return Answer.error(.notFound, "there is nothing here")
        }
    }
}
