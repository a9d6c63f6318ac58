package import PeerCore
package import PeerReactor
internal import PeerWire

/// A call that has found its way out: its bytes are carried between the caller's stream and the egress's.
package final class Visit: Forwarder {
    private weak var lane: Lane?
    package let destination: Destination
    package let portOffset: UInt16
    /// The data channel at one of its ends.
    package let loan: ChannelLoan
    let egress: any Egress
    private var slot: VisitorQuota.Slot?
    private let began: Instant

    /// - Parameters:
    ///   - terms: of the call.
    ///   - left: towards the caller.
    ///   - right: towards where the call goes.
    ///   - isConnecting: the right stream's connection is still being made.
    package init(
        on lane: Lane, _ terms: Call.Terms, _ loan: ChannelLoan, by egress: any Egress,
        _ ends: consuming Ends
    ) {
        self.lane = lane
        destination = terms.destination
        portOffset = terms.portOffset
        slot = terms.slot
        self.loan = loan
        self.egress = egress
        began = lane.loop.now
        super.init(
            on: lane.loop, left: ends.left, right: ends.right, isConnecting: ends.isConnecting, early: ends.early)
        allowance = terms.allowance
    }

    /// The two streams of a visit.
    package struct Ends: ~Copyable {
        let left: Stream
        let right: Stream
        let isConnecting: Bool
        let early: [UInt8]

        /// - Parameters:
        ///   - caller: towards the caller.
        ///   - way: towards where the call goes.
        ///   - isConnecting: the way's connection is still being made.
        ///   - early: goes out on the way before anything that the caller sends.
        package init(
            caller: consuming Stream, way: consuming Stream, isConnecting: Bool = false, early: [UInt8] = []
        ) {
            left = caller
            right = way
            self.isConnecting = isConnecting
            self.early = early
        }
    }

    /// Nothing says that the machine at the other end of the channel has heard of the caller.
    var isUnheard: Bool {
        bytesRightToLeft == 0 && isRightUnacknowledged(for: (lane?.loop.clock() ?? began) - began)
    }

    /// Only a node that checks whether the port is reached gets just so much for so little. Some of it may have gone
    /// before the visit began.
    var wasCheck: Bool {
        destination.kind == .claim && bytesLeftToRight <= UInt64(ReachabilityCheck.probeByteCount)
            && bytesRightToLeft == UInt64(ReachabilityCheck.answerByteCount)
    }

    package override func ended(_ ending: Ending) {
        lane?.ended(self, ending)
        slot = nil
    }

    package override func partedWithChannel(_ stream: consuming Stream?, _ rest: [UInt8]) {
        loan.giveBack(stream, rest)
    }
}
