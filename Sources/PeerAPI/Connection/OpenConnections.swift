internal import Logging
internal import NIOCore

/// The connections that are open, and how many may be. Belongs to the server's one loop.
final class OpenConnections: Sendable {
    private let loop: any EventLoop
    private let limit: Int
    private let log: Logger
    private let state: NIOLoopBoundBox<State>

    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var isStopping = false
        /// Said once, until half of the room is free again: whoever fills it up would fill the log as well.
        var isReported = false
    }

    init(on loop: any EventLoop, limit: Int, log: Logger) {
        self.loop = loop
        self.limit = limit
        self.log = log
        state = NIOLoopBoundBox.makeBoxSendingValue(State(), eventLoop: loop)
    }

    /// `false` when there is no room; on the loop.
    func admit(_ channel: any Channel) -> Bool {
        guard !state.value.isStopping else { return false }
        guard state.value.channels.count < limit else {
            if !state.value.isReported {
                log.warning("the API turns callers away: \(limit) connections are open; more come in as those end")
            }
            state.value.isReported = true
            return false
        }
        let id = ObjectIdentifier(channel)
        state.value.channels[id] = channel
        channel.closeFuture.hop(to: loop).whenComplete { [weak self] _ in self?.remove(id) }
        return true
    }

    private func remove(_ id: ObjectIdentifier) {
        state.value.channels[id] = nil
        if state.value.channels.count <= limit / 2 { state.value.isReported = false }
    }

    /// Tells all of them to end when they are answered, and ends them itself when that takes too long.
    func quiesce(within time: Duration) {
        loop.execute { [self] in
            state.value.isStopping = true
            for channel in state.value.channels.values {
                channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            }
        }
        loop.scheduleTask(in: TimeAmount(time)) { [self] in
            for channel in state.value.channels.values { channel.close(promise: nil) }
        }
    }
}
