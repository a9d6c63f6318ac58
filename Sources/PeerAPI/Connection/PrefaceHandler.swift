internal import Logging
internal import NIOCore
internal import PeerWire

/// The first handler of a connection: takes the preface off, and lets nothing through before it.
///
/// States: waiting for the preface → passing everything on; or closed, when it is wrong or does not come in time.
final class PrefaceHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private enum State {
        case waiting(ByteBuffer?, Scheduled<Void>?)
        case passing
        case closed
    }

    private var state = State.waiting(nil, nil)
    private let limit: TimeAmount
    private let log: Logger
    /// Who asks; fails when the connection ends before it says so.
    private let preface: EventLoopPromise<ProxyPreface>

    init(_ preface: EventLoopPromise<ProxyPreface>, limit: Duration, log: Logger) {
        self.preface = preface
        self.limit = TimeAmount(limit)
        self.log = log
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { [self] in
            refuse(context, "\(received) bytes came within \(limit.milliseconds) ms and no whole preface")
        }
        state = .waiting(nil, timer)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .waiting(let former, let timer):
            var bytes = former ?? ByteBuffer()
            bytes.writeImmutableBuffer(unwrapInboundIn(data))
            state = .waiting(bytes, timer)
            judge(context, bytes, timer)
        case .passing: context.fireChannelRead(data)
        case .closed: return
        }
    }

    private func judge(_ context: ChannelHandlerContext, _ bytes: ByteBuffer, _ timer: Scheduled<Void>?) {
        switch ProxyPreface.read(bytes.readableBytesView) {
        case .incomplete: return
        case .refused(let refusal): refuse(context, "\(refusal)")
        case .preface(let found, let count):
            timer?.cancel()
            state = .passing
            preface.succeed(found)
            var rest = bytes
            rest.moveReaderIndex(forwardBy: count)
            if rest.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(rest)) }
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    /// A caller that has finished before its preface will not bring one; the half that is open would wait in vain.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .waiting = state, let event = event as? ChannelEvent, event == .inputClosed {
            end()
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private var received: Int {
        if case .waiting(let bytes, _) = state { bytes?.readableBytes ?? 0 } else { 0 }
    }

    private func refuse(_ context: ChannelHandlerContext, _ reason: String) {
        log.warning(
            "the API closed a connection without the node's preface: \(reason); callers come to the server port")
        end()
        context.close(promise: nil)
    }

    private func end() {
        guard case .waiting(_, let timer) = state else { return }
        timer?.cancel()
        state = .closed
        preface.fail(ChannelError.eof)
    }
}
