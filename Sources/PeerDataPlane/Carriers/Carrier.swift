package import PeerCore
package import PeerReactor
package import PeerWire

/// How a stream gets from one node to another, and how its other end proves who it is. Called once a stream, on the
/// thread of the loop that the stream belongs to; shared by all loops.
package protocol Carrier: AnyObject, Sendable {
    var name: CarrierName { get }

    /// Whether streams for this go by it.
    func carries(_ purpose: Purpose) -> Bool

    /// Connects to another node and proves what is to be proven.
    ///
    /// - Parameter done: called once, after this returned; never after `cancel`.
    func dial(_ dial: Dial, on loop: EventLoop, done: @escaping (consuming Dialled) -> Void) -> any Cancellable

    /// Whether an accepted stream that begins with this byte came by it.
    func claims(firstByte: UInt8) -> Bool

    /// Has the other end of an accepted stream, which is registered with the loop, prove what it has to.
    ///
    /// - Parameter done: called once, after this returned or before; with `nil` where nothing was proven; never after
    ///   `cancel`.
    func accept(
        _ stream: consuming Stream, on loop: EventLoop, within limit: Instant.Span,
        done: @escaping (consuming Accepted?) -> Void
    ) -> (any Accepting)?
}

package struct CarrierName: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
    package var description: String { rawValue }
}

/// What a stream to another node is for.
package enum Purpose: Sendable {
    case session
    /// One of a session's data channels. `number`: of this channel, none twice in a group.
    case channel(ChannelGroup, ChannelProtection, number: UInt64)
}

/// Something under way that may be given up.
package protocol Cancellable: AnyObject {
    func cancel()
}

/// A stream that is about to be made.
package struct Dial {
    package let addresses: [SocketAddress]
    package let purpose: Purpose
    /// Until there is a connection.
    package let connectLimit: Instant.Span
    /// From then on, until all is proven.
    package let proofLimit: Instant.Span
    /// The connection is there. `false`: there is no room for it here.
    package var onReached: (borrowing Stream) -> Bool = { _ in true }

    package init(
        to addresses: [SocketAddress], for purpose: Purpose, connectLimit: Instant.Span, proofLimit: Instant.Span
    ) {
        self.addresses = addresses
        self.purpose = purpose
        self.connectLimit = connectLimit
        self.proofLimit = proofLimit
    }
}

package enum Dialled: ~Copyable {
    case proven(Stream, isRegistered: Bool, key: NodeKey?, secrets: SessionSecrets?)
    case notReached(SystemError)
    /// `onReached` said that there is no room.
    case noRoom
    /// There was a connection, and nothing was proven on it.
    case notProven(String)
}

/// A stream that was accepted, with what its other end has proven.
package struct Accepted: ~Copyable {
    package enum Opening: Sendable {
        /// A session, of the node that has proven this key.
        case session(NodeKey, SessionSecrets)
        /// Nothing is proven; what it is for stands in its first bytes (`Preamble`).
        case undeclared
        /// A data channel of this group.
        case channel(ChannelGroup)
        case http(NodeKey?)
    }

    package let stream: Stream
    package let opening: Opening

    package init(_ stream: consuming Stream, _ opening: Opening) {
        self.stream = stream
        self.opening = opening
    }

    package consuming func intoStream() -> Stream { stream }
}

/// An accepted stream whose other end is still proving what it has to.
package protocol Accepting: Cancellable {
    /// Nothing has come yet that would cost its sender anything.
    var isSilent: Bool { get }
}

/// The carriers of a node, in one list.
package struct Carriers: Sendable {
    package let all: [any Carrier]

    /// - Parameter all: the first one that takes a stream has it.
    package init(_ all: [any Carrier]) { self.all = all }

    package func carrier(for purpose: Purpose) -> (any Carrier)? { all.first { $0.carries(purpose) } }

    package func carrier(claiming firstByte: UInt8) -> (any Carrier)? {
        all.first { $0.claims(firstByte: firstByte) }
    }
}
