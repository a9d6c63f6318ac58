internal import Hummingbird
internal import Logging

/// What a route knows beside the request: who asks.
struct APIContext: RequestContext {
    struct Source: RequestContextSource {
        let logger: Logger
        let caller: Caller
    }

    var coreContext: CoreRequestContextStorage
    let caller: Caller

    init(source: Source) {
        coreContext = CoreRequestContextStorage(source: source)
        caller = source.caller
    }
}
