internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import PeerWire

/// One connection from the reactor: a preface, then HTTP/1.1 on behalf of one caller.
struct APIConnection: Sendable {
    private let setup: Setup
    private let http: HTTP1Channel.Value
    private let preface: EventLoopFuture<ProxyPreface>

    /// What all connections of a server share.
    struct Setup: Sendable {
        let routes: any RequestRoutes
        let limits: APILimits
        let connections: OpenConnections
        let isMember: MembershipCheck
        let log: Logger

        /// Builds the pipeline of a channel that was just accepted; on its loop. A channel that finds no room is
        /// closed here: nobody else would.
        func connection(on channel: any Channel) -> EventLoopFuture<APIConnection> {
            guard connections.admit(channel) else {
                channel.close(promise: nil)
                return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel)
            }
            let preface = channel.eventLoop.makePromise(of: ProxyPreface.self)
            let first = PrefaceHandler(preface, limit: limits.preface, log: log)
            do {
                try channel.pipeline.syncOperations.addHandler(first)
            } catch {
                preface.fail(error)
                channel.close(promise: nil)
                return channel.eventLoop.makeFailedFuture(error)
            }
            return http1 { _, _, _ in }.setup(channel: channel, logger: log).map {
                APIConnection(setup: self, http: $0, preface: preface.futureResult)
            }
        }

        func http1(_ responder: @escaping HTTP1Channel.Responder) -> HTTP1Channel {
            HTTP1Channel(
                responder: responder,
                configuration: HTTP1Channel.Configuration(
                    additionalChannelHandlers: [RequestGuard(limits)], idleTimeout: TimeAmount(limits.idle),
                    httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
                        maxHeaderFieldSize: limits.headerField, maxHeaderListSize: limits.head,
                        maxHeaderFieldCount: limits.headerFields)))
        }
    }

    /// Answers until the connection ends.
    func serve() async {
        guard let preface = try? await preface.get() else {
            // Closed by its first handler; the library asks for an orderly end all the same.
            try? await http.executeThenClose { _, _ in }
            return
        }
        let first = await Caller(preface, isMember: setup.isMember)
        if !first.isMember {
            let channel = http.channel
            let end = channel.eventLoop.scheduleTask(in: TimeAmount(setup.limits.stranger)) {
                channel.close(promise: nil)
            }
            channel.closeFuture.whenComplete { _ in end.cancel() }
        }
        let routes = setup.routes
        let channel = setup.http1 { request, writer, _ in
            let response = try await routes.response(to: request, from: preface)
            try await writer.write(response: response.head, body: response.body)
        }
        await channel.handle(value: http, logger: setup.log)
    }
}
