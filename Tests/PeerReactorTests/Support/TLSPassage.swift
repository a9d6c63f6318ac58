import PeerCore
import PeerWire

@testable import PeerReactor

/// What a visitor's bytes pass, with both forwarders and TLS between them:
///
///     visitor ── relay's forwarder ══ data channel ══ peer's forwarder ── service
final class TLSPassage: Sendable {
    let visitor: TestSocket
    let service: TestSocket
    let relayEnded = Awaited<String>()
    let peerEnded = Awaited<String>()
    private let relayLoop: EventLoop
    private let forwarder: LoopBound<Forwarder>

    /// - Parameter lane: where the relay's end goes after the handshake.
    init(
        on loop: EventLoop, movingTo lane: EventLoop? = nil, through middle: Middle? = nil, smallBuffers: Bool = false
    ) throws {
        let (relay, peer) = (try TLSNode(1), try TLSNode(2))
        let channel = try loop.dataChannel(peer, relay, through: middle, smallBuffers: smallBuffers)
        let (visitorStream, visitor) = try TestSocket.pair(smallBuffers: smallBuffers)
        let (serviceStream, service) = try TestSocket.pair(smallBuffers: smallBuffers)
        (self.visitor, self.service) = (visitor, service)
        let peerEnded = peerEnded
        let relayEnded = relayEnded
        try loop.run {
            let forwarder = ClosureForwarder(on: loop, left: channel.peer.open()!, right: serviceStream.open()!) {
                _, ending in
                peerEnded.tell(Passage.text(ending))
            }
            forwarder.start(isLeftRegistered: true)
        }
        relayLoop = lane ?? loop
        let moved = try lane == nil ? channel.relay : channel.relay.leaving(loop)
        forwarder = try relayLoop.run { [relayLoop] in
            let forwarder = ClosureForwarder(on: relayLoop, left: visitorStream.open()!, right: moved.open()!) {
                _, ending in
                relayEnded.tell(Passage.text(ending))
            }
            forwarder.start(isLeftRegistered: false, isRightRegistered: lane == nil)
            return LoopBound(forwarder, on: relayLoop)
        }
    }

    var bytesFromVisitor: UInt64 { get throws { try relayLoop.run { self.forwarder.value.bytesLeftToRight } } }
}

extension EventLoop {
    /// The two ends of a data channel, registered here.
    func dataChannel(
        _ peer: TLSNode, _ relay: TLSNode, through middle: Middle? = nil, smallBuffers: Bool = false
    ) throws -> (relay: StreamParcel, peer: StreamParcel) {
        let session = SessionID(value: 77)
        let secrets = try secureBoth(peer, as: .session, relay)
        guard let atRelay = secrets.server.facts?.secrets, let atPeer = secrets.client.facts?.secrets else {
            throw TimedOut(description: "no session")
        }
        relay.channelKeys.add(atRelay.channelKey, for: session)
        let ends = try secureBoth(
            peer, as: .data(ChannelGroup(session: session, number: 0), atPeer.channelKey), relay, through: middle,
            smallBuffers: smallBuffers)
        guard case .secured(_, let near) = ends.client, case .secured(_, let far) = ends.server else {
            throw TimedOut(description: "no data channel: \(ends)")
        }
        // The contexts' owners must outlive what is on its way; a channel belongs to its loop for as long as it runs.
        execute { _ = (peer, relay) }
        return (far, near)
    }
}

extension StreamParcel {
    /// On its way to another loop.
    func leaving(_ loop: EventLoop) throws -> StreamParcel {
        try loop.run {
            let stream = self.open()!
            loop.unregister(stream)
            return StreamParcel(stream)
        }
    }
}
