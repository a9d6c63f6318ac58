import Glibc
import Synchronization

@testable import PeerReactor

/// Somebody on the way of a TCP connection: passes bytes on in pieces, keeps a record, and may cut.
final class Middle: Sendable {
    enum Cut: Sendable, CaseIterable { case end, reset }

    private struct Record {
        var toServer: [UInt8] = []
        var toClient: [UInt8] = []
    }

    private let piece: Int
    private let cutAfter: Int?
    private let how: Cut
    private let record = Mutex(Record())
    private let ends = Mutex<[TestSocket]>([])

    /// - Parameters:
    ///   - piece: bytes passed on at a time.
    ///   - cutAfter: so many bytes pass, both directions together; none after them.
    init(piece: Int = 65_536, cutAfter: Int? = nil, by how: Cut = .end) {
        self.piece = piece
        self.cutAfter = cutAfter
        self.how = how
    }

    var toServer: [UInt8] { record.withLock { $0.toServer } }
    var toClient: [UInt8] { record.withLock { $0.toClient } }
    var count: Int { record.withLock { $0.toServer.count + $0.toClient.count } }

    /// The two ends of a connection that leads through here.
    func ends(_ smallBuffers: Bool = false) throws -> (client: StreamParcel, server: StreamParcel) {
        let (client, left) = try TestSocket.pair(smallBuffers: smallBuffers)
        let (server, right) = try TestSocket.pair(smallBuffers: smallBuffers)
        ends.withLock { $0 = [left, right] }
        for socket in [left, right] {
            var on: Int32 = 1
            setsockopt(socket.fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        }
        try SystemThread.detach { [self] in pass(left, right, \.toServer) }
        try SystemThread.detach { [self] in pass(right, left, \.toClient) }
        return (client, server)
    }

    /// Ends both connections now.
    func cut() {
        for socket in ends.withLock({ $0 }) {
            guard how == .reset else {
                shutdown(socket.fd, Int32(SHUT_RDWR))
                continue
            }
            // Its thread may be reading, so the descriptor stays; to connect to nowhere is a reset as well.
            var nowhere = sockaddr()
            nowhere.sa_family = sa_family_t(AF_UNSPEC)
            connect(socket.fd, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
        }
    }

    private func pass(_ from: TestSocket, _ to: TestSocket, _ log: any WritableKeyPath<Record, [UInt8]> & Sendable) {
        while true {
            let bytes = from.receive(piece)
            guard !bytes.isEmpty else {
                to.endWriting()
                return
            }
            let left = record.withLock { record in
                let rest = cutAfter.map { max(0, $0 - record.toServer.count - record.toClient.count) } ?? bytes.count
                record[keyPath: log] += bytes.prefix(rest)
                return rest
            }
            guard to.send(Array(bytes.prefix(left))) else { return }
            if left < bytes.count || cutAfter == count { return cut() }
        }
    }
}
