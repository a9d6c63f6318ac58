package import PeerCore
package import PeerReactor
package import PeerWire

/// Somebody came in at a frontend and wants to go somewhere. Whoever holds a call owns its stream: a call that is let
/// go of is reset.
package struct Call: ~Copyable {
    /// What is known of a call beside its stream.
    package struct Terms {
        package let destination: Destination
        /// By how many the port is after the mapping's first one.
        package let portOffset: UInt16
        package let caller: Router.Caller
        /// The session of the peer whose port the caller came to.
        package var session: SessionID?
        package var source: SocketAddress?
        /// At the peer: who the caller is, where the target is to be told.
        package var visitor: VisitorAddress?
        /// The caller's place within the membership's limits, kept until the visit is over.
        package var slot: VisitorQuota.Slot?
        package var allowance: (any ByteAllowance)?
        /// The channel that the call came by, which somebody wants back.
        package var loan: ChannelLoan?

        package init(to destination: Destination, portOffset: UInt16, caller: Router.Caller) {
            self.destination = destination
            self.portOffset = portOffset
            self.caller = caller
        }
    }

    package var stream: Stream
    package var terms: Terms
    /// What was read off the stream already: of a channel, frames.
    package var read: [UInt8] = []
    /// Where the call may go, as far as it was not there yet.
    var hops: ArraySlice<EgressName> = []

    package init(_ stream: consuming Stream, _ terms: Terms) {
        self.stream = stream
        self.terms = terms
    }

    /// The stream without the rest, for the visit that the call becomes.
    package consuming func intoStream() -> Stream { stream }
}

/// Who gets a data channel back once a visit is over.
package protocol ChannelOwner: AnyObject {
    /// - Parameters:
    ///   - stream: registered with the loop; `nil` when the channel is of no more use.
    ///   - rest: what was read behind the visitor.
    func takeBack(_ stream: consuming Stream?, _ rest: [UInt8], _ loan: ChannelLoan)
}

/// A data channel that carries a visitor at the moment.
package struct ChannelLoan {
    // In this order the small ones share a word: each visit has one of these.
    private let owner: any ChannelOwner
    /// The node at the other end.
    package let node: NodeKey
    package let group: ChannelGroup
    /// When it was lent, in the owner's count.
    package let tick: UInt32

    package init(from owner: any ChannelOwner, group: ChannelGroup, node: NodeKey, tick: UInt32 = 0) {
        self.owner = owner
        self.node = node
        self.group = group
        self.tick = tick
    }

    func giveBack(_ stream: consuming Stream?, _ rest: [UInt8]) { owner.takeBack(stream, rest, self) }
}
