internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import PeerWire

/// What is answered to whom.
///
/// | caller | `GET /v1/alive` | what there is | anything else |
/// |---|---|---|---|
/// | no node key | 200 | 401 | 401 |
/// | a key that is no member | 200 | 403 | 403 |
/// | a member | 200 | 200 | 404 |
///
/// Who is no member gets the same bytes for every path, and one answer a connection.
struct Routes: Sendable {
    private let responder: RouterResponder<APIContext>
    private let isMember: MembershipCheck
    private let limits: APILimits
    private let log: Logger

    init(
        facts: @escaping @Sendable () async -> NodeFacts, isMember: @escaping MembershipCheck, limits: APILimits,
        log: Logger
    ) {
        let router = Router(context: APIContext.self)
        router.add(middleware: MembersOnly())
        router.get("/v1/node") { _, _ in try Answer.json(await facts()) }
        responder = router.buildResponder()
        self.isMember = isMember
        self.limits = limits
        self.log = log
    }

    func response(to request: Request, from preface: ProxyPreface) async throws -> Response {
        guard try await isBodyWithinLimit(request) else {
            return finished(Answer.error(.contentTooLarge, "a request has at most \(limits.body) bytes"), request)
        }
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

    /// Reads the body to its end: no route takes one, and what is left of it would be read as the next request.
    private func isBodyWithinLimit(_ request: Request) async throws -> Bool {
        if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > limits.body {
            return false
        }
        var count = 0
        for try await part in request.body {
            count += part.readableBytes
            if count > limits.body { return false }
        }
        return true
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
