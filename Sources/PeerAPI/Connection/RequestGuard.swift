internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes

/// Holds a connection to its time: no request lasts longer than its limit, and after an answer that says
/// `Connection: close` nothing more is taken.
///
/// Such an answer is followed by the end of what is written, then by reading on for a moment without looking: a
/// connection that is closed with bytes unread resets, and the answer may be lost on its way (RFC 9112, section 9.6).
final class RequestGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let limits: APILimits
    /// Requests whose answer is not complete.
    private var open = 0
    private var timer: Scheduled<Void>?
    /// The answer that is being written is the last one.
    private var isLast = false
    private var isLingering = false

    init(_ limits: APILimits) { self.limits = limits }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isLingering else { return }
        if case .head = unwrapInboundIn(data) {
            open += 1
            if open == 1 { setTimer(context, limits.request) }
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            if head.headerFields[.connection]?.lowercased() == "close" { isLast = true }
            context.write(data, promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            if isLast, !isLingering { return linger(context, data, promise) }
            context.write(data, promise: promise)
            open = max(0, open - 1)
            if open > 0 { setTimer(context, limits.request) } else { timer?.cancel() }
        }
    }

    private func linger(_ context: ChannelHandlerContext, _ data: NIOAny, _ promise: EventLoopPromise<Void>?) {
        isLingering = true
        let written = promise ?? context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [self] _ in
            setTimer(context, limits.linger)
            context.close(mode: .output, promise: nil)
        }
        context.writeAndFlush(data, promise: written)
    }

    private func setTimer(_ context: ChannelHandlerContext, _ limit: Duration) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limit)) { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }
}
