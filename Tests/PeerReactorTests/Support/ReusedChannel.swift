import PeerCore
import PeerWire

@testable import PeerReactor

/// A data channel that carries one visitor after the other, with the forwarders of both nodes on one loop:
///
///     visitor ── relay's forwarder ══ data channel ══ peer's forwarder ── service
final class ReusedChannel: @unchecked Sendable {
    // Unchecked: the ends are taken and put back by one test, in turn.
    enum Protection: CaseIterable, Sendable { case plain, tls }

    let loop: EventLoop
    private var relay: StreamParcel
    private var peer: StreamParcel
    private let backAtRelay = Awaited<(StreamParcel?, [UInt8])>()
    private let backAtPeer = Awaited<(StreamParcel?, [UInt8])>()

    init(on loop: EventLoop, _ protection: Protection, smallBuffers: Bool = false) throws {
        self.loop = loop
        switch protection {
        case .tls: (relay, peer) = try loop.dataChannel(try TLSNode(1), try TLSNode(2), smallBuffers: smallBuffers)
        case .plain:
            (relay, peer) = try StreamParcel.connection(smallBuffers: smallBuffers)
            relay = try relay.registered(on: loop)
            peer = try peer.registered(on: loop)
        }
    }

    /// The next visitor. `rate`: what the relay holds him to.
    func carry(
        early: [UInt8] = [], smallBuffers: Bool = false, allowance: (any ByteAllowance)? = nil
    ) throws -> Carriage {
        let (visitorStream, visitor) = try TestSocket.pair(smallBuffers: smallBuffers)
        let (serviceStream, service) = try TestSocket.pair(smallBuffers: smallBuffers)
        let carriage = Carriage(visitor: visitor, service: service, loop: loop)
        let (relay, peer, backAtRelay, backAtPeer) = (relay, peer, backAtRelay, backAtPeer)
        try loop.run { [loop] in
            let atPeer = ClosureForwarder(on: loop, left: peer.open()!, right: serviceStream.open()!) { _, ending in
                carriage.peerEnded.tell(Passage.text(ending))
            }
            atPeer.useFrames(on: .left) { stream, rest in backAtPeer.tell((StreamParcel.of(stream), rest)) }
            atPeer.start(isLeftRegistered: true)
            let atRelay = ClosureForwarder(
                on: loop, left: visitorStream.open()!, right: relay.open()!, early: early
            ) { forwarder, ending in
                carriage.counted.tell([forwarder.bytesLeftToRight, forwarder.bytesRightToLeft])
                carriage.ended.tell(Passage.text(ending))
            }
            atRelay.allowance = allowance
            atRelay.useFrames(on: .right) { stream, rest in backAtRelay.tell((StreamParcel.of(stream), rest)) }
            atRelay.start(isLeftRegistered: false, isRightRegistered: true)
            carriage.bind(atRelay, atPeer)
        }
        return carriage
    }

    /// Waits until both ends have parted with the visitor; whether both have the channel back, with the peer's word
    /// that it is ready and nothing else on it.
    func comesBack() throws -> Bool {
        let (relay, restAtRelay) = try backAtRelay.next("channel at the relay")
        let (peer, restAtPeer) = try backAtPeer.next("channel at the peer")
        guard let relay, let peer else { return false }
        self.peer = peer
        self.relay = relay
        guard restAtRelay != ChannelFrame.ready else { return restAtPeer.isEmpty }
        let word = Awaited<(StreamParcel?, [UInt8]?)>()
        try loop.run { [loop] in
            _ = try ReadyChannel(
                on: loop, relay.open()!, isRegistered: true, read: restAtRelay,
                expecting: .init(byteCount: ChannelFrame.ready.count)
            ) { channel, bytes in word.tell((StreamParcel.of(channel.takeStream()), bytes)) }
        }
        let (back, bytes) = try word.next("the peer's word")
        guard let back else { return false }
        self.relay = back
        return bytes == ChannelFrame.ready && restAtPeer.isEmpty
    }

    /// A visitor of whom nothing may be left: both ends say something, and go.
    func carryAnother(_ size: Int = 30_000) throws -> Bool {
        let carriage = try carry()
        let (question, answer) = (Pattern(seed: 101), Pattern(seed: 102))
        let atService = inBackground { question.read(from: carriage.service, chunks: 1...9_000, seed: 1) }
        let atVisitor = inBackground { answer.read(from: carriage.visitor, chunks: 1...9_000, seed: 2) }
        for (pattern, end) in [(question, carriage.visitor), (answer, carriage.service)] {
            guard pattern.write(size, to: end, chunks: 1...9_000, seed: 3) else { return false }
            end.endWriting()
        }
        let isWhole =
            try atService.next("end at the service") == Pattern.Reading(bytes: size)
            && atVisitor.next("end at the visitor") == Pattern.Reading(bytes: size)
        return try isWhole && carriage.ended.next("end") == "clean" && comesBack()
    }
}

/// One visitor on a channel.
final class Carriage: @unchecked Sendable {
    // Unchecked: bound once, on the loop, before a test has it.
    let visitor: TestSocket
    let service: TestSocket
    let ended = Awaited<String>()
    let peerEnded = Awaited<String>()
    let counted = Awaited<[UInt64]>()
    private let loop: EventLoop
    private var atRelay: LoopBound<Forwarder>?
    private var atPeer: LoopBound<Forwarder>?

    init(visitor: TestSocket, service: TestSocket, loop: EventLoop) {
        (self.visitor, self.service, self.loop) = (visitor, service, loop)
    }

    func bind(_ relay: Forwarder, _ peer: Forwarder) {
        atRelay = LoopBound(relay, on: loop)
        atPeer = LoopBound(peer, on: loop)
    }

    func abort(atRelay isAtRelay: Bool) throws {
        try loop.run { (isAtRelay ? self.atRelay : self.atPeer)?.value.abort() }
    }

    var bytesFromVisitor: UInt64 { get throws { try loop.run { self.atRelay?.value.bytesLeftToRight ?? 0 } } }
    var bytesToVisitor: UInt64 { get throws { try loop.run { self.atRelay?.value.bytesRightToLeft ?? 0 } } }
}

extension StreamParcel {
    static func of(_ stream: consuming Stream?) -> StreamParcel? {
        guard let stream = consume stream else { return nil }
        return StreamParcel(stream)
    }

    /// Known to the loop, as the source before has left it.
    func registered(on loop: EventLoop) throws -> StreamParcel {
        try loop.run {
            let stream = self.open()!
            let former = Probe { _, _ in }
            try loop.register(stream.fd, for: former)
            loop.forget(former)
            return StreamParcel(stream)
        }
    }
}
