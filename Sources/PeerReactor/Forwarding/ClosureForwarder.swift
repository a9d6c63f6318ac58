/// A forwarder that tells closures, for those of whom there are few.
public final class ClosureForwarder: Forwarder {
    private var onEnd: ((ClosureForwarder, Ending) -> Void)?
    private var onParting: ((consuming Stream?, [UInt8]) -> Void)?

    /// - Parameter onEnd: see `ended`.
    public init(
        on loop: EventLoop, left: consuming Stream, right: consuming Stream, isConnecting: Bool = false,
        early: [UInt8] = [], onEnd: @escaping (ClosureForwarder, Ending) -> Void
    ) {
        self.onEnd = onEnd
        super.init(on: loop, left: left, right: right, isConnecting: isConnecting, early: early)
    }

    /// - Parameter onParting: see `partedWithChannel`.
    public func useFrames(
        on side: Side, input: [UInt8] = [], onParting: @escaping (consuming Stream?, [UInt8]) -> Void
    ) {
        self.onParting = onParting
        useFrames(on: side, input: input)
    }

    public override func ended(_ ending: Ending) {
        let onEnd = self.onEnd
        self.onEnd = nil
        onEnd?(self, ending)
    }

    public override func partedWithChannel(_ stream: consuming Stream?, _ rest: [UInt8]) {
        let onParting = self.onParting
        self.onParting = nil
        onParting?(stream, rest)
    }
}
