internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// A visitor's flow at the peer, with its socket towards the target.
final class TargetFlow: DatagramReceiver {
    let name: DatagramTargets.Name
    /// It holds its flows, and is gone no earlier than the last of them.
    unowned let table: DatagramTargets.Table
    let id: FlowTable.ID
    let socket: DatagramSocket
    private weak var targets: DatagramTargets?
    /// In front of each of the visitor's datagrams, for a target that is told who it is.
    var header: [UInt8] = []
    /// By which answers go.
    private(set) weak var channel: PeerDatagrams?
    /// What the relay calls it.
    private(set) var number: (session: SessionID, flow: DatagramFrame.Flow)?
    /// The target has answered, and has not refused anything since.
    var isAnswered = false
    /// Hears what comes to where the target's answers come, and is not from there.
    private var listener: DatagramSocket?
    /// It heard something.
    private var hasHeard = false

    init(
        _ name: DatagramTargets.Name, in table: DatagramTargets.Table, _ id: FlowTable.ID,
        _ socket: DatagramSocket,
        of targets: DatagramTargets
    ) {
        self.name = name
        self.table = table
        self.id = id
        self.socket = socket
        self.targets = targets
    }

    func use(_ channel: PeerDatagrams, _ flow: DatagramFrame.Flow) {
        self.channel = channel
        number = (channel.session, flow)
    }

    func tellEnd() { if let number { channel?.tell(.over, number.flow) } }

    /// Nothing is heard any more.
    func stop() {
        socket.stop()
        stopListening()
    }

    // MARK: Answers from elsewhere

    /// - Returns: `false` where there is no socket for that.
    func listen(on loop: EventLoop, _ mayTake: (DatagramSocket) -> Bool) -> Bool {
        guard let listener = try? socket.beside(), mayTake(listener) else { return false }
        do throws(SystemError) { try listener.start(on: loop, self) } catch { return false }
        self.listener = listener
        return true
    }

    var isListening: Bool { listener != nil }

    func stopListening() {
        listener?.stop()
        listener = nil
    }

    // MARK: DatagramReceiver

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        guard socket === self.socket else {
            targets?.strayed(self, from: source, isFirst: !hasHeard)
            return hasHeard = true
        }
        targets?.answered(self, UnsafeRawBufferPointer(bytes))
    }

    func failed(_ error: SystemError, on socket: DatagramSocket) {
        if socket === self.socket { targets?.failed(self, error) }
    }
}
