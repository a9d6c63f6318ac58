internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// One check from outside of a port for datagrams: sends a nonce, some times, and waits for the signature over it.
/// Belongs to one loop. The address is numeric, and whoever starts one has judged it (`DialGuard`).
final class DatagramProbe: DatagramReceiver {
    /// Datagrams get lost; the first answer counts.
    private static let tries = 6

    private let loop: EventLoop
    private let nonce: [UInt8]
    private let mapping: MappingID
    private let key: NodeKey
    private let address: SocketAddress
    private var socket: DatagramSocket?
    private var timer: LoopTimer?
    private var sent = 0
    private var error: SystemError?
    private var done: ((ReachabilityProbe.Outcome) -> Void)?

    init(
        on loop: EventLoop, at address: SocketAddress, nonce: [UInt8], mapping: MappingID, key: NodeKey,
        done: @escaping (ReachabilityProbe.Outcome) -> Void
    ) {
        self.loop = loop
        self.nonce = nonce
        self.mapping = mapping
        self.key = key
        self.address = address
        self.done = done
        // The timers keep this alive until it is settled.
        timer = loop.schedule(after: .zero) { self.begin() }
    }

    private func begin() {
        do throws(SystemError) {
            let socket = try DatagramSocket.connected(to: address, .atTheEdge)
            self.socket = socket
            try socket.start(on: loop, self)
            send()
        } catch {
            finish(.failed("\(address) cannot be reached from here: \(error.text)"))
        }
    }

    private func send() {
        guard sent < Self.tries else {
            let why = error.map { ": \($0.text)" } ?? ""
            return finish(.failed("\(address) does not answer datagrams\(why)"))
        }
        sent += 1
        let probe = ReachabilityCheck.datagramProbe(nonce: nonce)
        if let socket, let room = loop.datagrams, let place = room.room(for: socket, probe.count) {
            probe.withUnsafeBytes { if let base = $0.baseAddress { place.copyMemory(from: base, byteCount: $0.count) } }
            room.push(probe.count)
            room.flush()
        }
        timer = loop.schedule(after: ReachabilityProbe.limit / UInt64(Self.tries)) { self.send() }
    }

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        let isRight = ReachabilityCheck.isAnswer(Array(bytes), nonce: nonce, mapping: mapping, by: key)
        finish(isRight ? .passed : .failed("\(address) is answered by something else"))
    }

    func failed(_ error: SystemError, on socket: DatagramSocket) { self.error = error }

    private func finish(_ outcome: ReachabilityProbe.Outcome) {
        let done = self.done
        self.done = nil
        timer?.cancel()
        timer = nil
        socket?.stop()
        done?(outcome)
    }
}
