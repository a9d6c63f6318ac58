internal import PeerCore
package import PeerReactor
package import PeerWire

/// The relay's end of the datagrams of all sessions on one lane: a socket at the server's port number, where there is
/// one; without it their frames take streams. What does not authenticate is let go of without an answer.
package final class DatagramHub: DatagramReceiver {
    private let loop: EventLoop
    let socket: DatagramSocket?
    private var channels: [UInt32: RelayDatagrams] = [:]

    /// - Parameter socket: shares its port with those of the other lanes; `nil`: the system has the port for somebody
    ///   else, or can't say which lane a datagram is for.
    package init(on loop: EventLoop, _ socket: DatagramSocket?) {
        self.loop = loop
        self.socket = socket
    }

    /// Call on the loop.
    package func start() throws(SystemError) { try socket?.start(on: loop, self) }

    package func stop() { socket?.stop() }

    subscript(_ number: UInt32) -> RelayDatagrams? { channels[number] }

    /// A session has datagrams from now on.
    package func add(_ channel: RelayDatagrams) { channels[channel.number] = channel }

    package func remove(_ number: UInt32) { channels[number] = nil }

    /// Sessions whose peers are to be told that nothing is heard of them.
    package func missing() -> [SessionID] { channels.values.filter { $0.isMissing() }.map(\.session) }

    package func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        guard let header = DatagramHeader(reading: UnsafeRawBufferPointer(bytes)),
            let channel = channels[header.channel]
        else { return }
        channel.received(bytes, header.number, from: source, to: local)
    }
}

/// What hears the frames that a peer sends. Belongs to the lane's loop.
package protocol PeerFrames: AnyObject {
    /// An answer of a service.
    func answered(_ flow: DatagramFrame.Flow, _ bytes: UnsafeRawBufferPointer, by channel: RelayDatagrams)
    /// The peer knows a flow from now on, or does not know it.
    func told(_ flow: DatagramFrame.Flow, isKnown: Bool, by channel: RelayDatagrams)
    /// The peer has ended a flow.
    func ended(_ flow: DatagramFrame.Flow, by channel: RelayDatagrams)
}
