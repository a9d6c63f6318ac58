/// The two streams of a forwarder, as a direction sees them.
extension Forwarder {
    func source(_ isLeftToRight: Bool, _ body: (borrowing Stream) -> Stream.Outcome) -> Stream.Outcome {
        isLeftToRight ? Self.use(left, body) : Self.use(right, body)
    }

    func sink(_ isLeftToRight: Bool, _ body: (borrowing Stream) -> Stream.Outcome) -> Stream.Outcome {
        isLeftToRight ? Self.use(right, body) : Self.use(left, body)
    }

    private static func use(
        _ stream: borrowing Stream?, _ body: (borrowing Stream) -> Stream.Outcome
    ) -> Stream.Outcome {
        switch stream {
        case .some(let stream): body(stream)
        case .none: .end
        }
    }

    /// Bytes for which the sink's socket has room.
    func freeAtSink(_ isLeftToRight: Bool) -> Int {
        (isLeftToRight ? right?.freeToSend : left?.freeToSend) ?? 0
    }

    func isSourceDrained(_ isLeftToRight: Bool) -> Bool {
        (isLeftToRight ? left?.isDrained : right?.isDrained) ?? true
    }

    /// `false` when the sink must become writable first.
    func sinkShutdown(_ isLeftToRight: Bool) -> Bool {
        (isLeftToRight ? right?.shutdownWrite() : left?.shutdownWrite()) ?? true
    }
}
