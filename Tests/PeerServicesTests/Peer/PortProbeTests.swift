import Foundation
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("A check of a public port by all its protocols", .timeLimit(.minutes(1)))
final class PortProbeTests {
    private final class Outcomes {
        var all: [PortProbe.Outcome] = []
    }

    private static let nonce = [UInt8](repeating: 7, count: ReachabilityCheck.nonceByteCount)
    private static let mapping = MappingID(value: 1)
    private let time = OwnedTime()
    private let peer = NodeIdentity(seed: ShellBench.seed(2))!

    deinit { time.stop() }

    /// A public port for TCP that answers the one check as the peer does.
    private func answering() throws -> UInt16 {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, length) == 0 && listen(fd, 1) == 0 && getsockname(fd, $0, &length) == 0
            }
        }
        try #require(isBound)
        let answer = ReachabilityCheck.answer(nonce: Self.nonce, mapping: Self.mapping, by: peer)
        Thread.detachNewThread {
            let visitor = accept(fd, nil, nil)
            close(fd)
            var probe = [UInt8](repeating: 0, count: ReachabilityCheck.probeByteCount)
            _ = recv(visitor, &probe, probe.count, Int32(MSG_WAITALL))
            _ = write(visitor, answer, answer.count)
            close(visitor)
        }
        return UInt16(bigEndian: address.sin_port)
    }

    private func failure(_ protocols: TransportProtocols, _ port: UInt16) throws -> (String, TransportProtocols)? {
        let (loop, key) = (try time.loop(), peer.key)
        let address = SocketAddress(host: .ipv4([127, 0, 0, 1]), port: port)
        let outcomes = try OnLoop(on: loop) {
            let outcomes = Outcomes()
            PortProbe.begin(
                protocols, on: loop, at: address, nonce: Self.nonce, mapping: Self.mapping, key: key
            ) { outcomes.all.append($0) }
            return outcomes
        }
        try time.eventually("checked") { try outcomes.run { !$0.all.isEmpty } }
        guard case .failed(let reason, let closed)? = try outcomes.run({ $0.all.first }) else { return nil }
        return (reason, closed)
    }

    @Test("names UDP alone where TCP comes through")
    func datagramsAlone() throws {
        #expect(try failure(.tcp, try answering()) == nil)
        let port = try answering()
        let (reason, closed) = try #require(try failure([.tcp, .udp], port))
        #expect(reason.hasPrefix("TCP comes through, UDP does not: 127.0.0.1:\(port) does not answer datagrams"))
        #expect(closed == .udp)
    }

    @Test(
        "names both where TCP does not, for UDP was not tried then",
        arguments: [.tcp, [.tcp, .udp]] as [TransportProtocols])
    func both(_ protocols: TransportProtocols) throws {
        let service = try EchoService()
        service.stop()
        let (reason, closed) = try #require(try failure(protocols, service.port))
        #expect(reason.hasPrefix("127.0.0.1:\(service.port) cannot be connected to"))
        #expect(closed == protocols)
    }
}
