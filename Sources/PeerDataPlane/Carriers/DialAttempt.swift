internal import PeerCore
internal import PeerReactor

/// One attempt to reach another node: a TCP connection, and then what a carrier does to prove it.
final class DialAttempt: Cancellable {
    private var underWay: (any Cancellable)?
    private var done: ((consuming Dialled) -> Void)?

    /// - Parameter prove: makes of the connection, which is registered with no loop, a stream that is proven. It calls
    ///   `proving` with what it has under way, and `finish`.
    init(
        _ dial: Dial, on loop: EventLoop, done: @escaping (consuming Dialled) -> Void,
        prove: @escaping (DialAttempt, consuming Stream) -> Void
    ) {
        self.done = done
        // The connector keeps this alive until the connection stands or failed.
        underWay = Connector(on: loop, to: dial.addresses, kind: .betweenNodes, limit: dial.connectLimit) {
            [self] stream, error in
            underWay = nil
            guard self.done != nil else { return }
            guard let stream = consume stream else { return finish(.notReached(error)) }
            guard dial.onReached(stream) else { return finish(.noRoom) }
            if self.done != nil { prove(self, stream) }
        }
    }

    func proving(_ step: any Cancellable) { underWay = step }

    func finish(_ outcome: consuming Dialled) {
        underWay = nil
        let done = self.done
        self.done = nil
        done?(outcome)
    }

    func cancel() {
        done = nil
        underWay?.cancel()
        underWay = nil
    }
}

extension Connector: Cancellable {}
