import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// How long a datagram may be, where the wires take packets of 1,500 bytes.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct DatagramSizeTests {
        private static let echo = """
            import socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("127.0.0.1", 5300))
            print("ready", flush=True)
            while True:
                text, source = s.recvfrom(65535)
                s.sendto(text, source)
            """

        /// Prints of each size how often it was asked until the answer was the same bytes; 0: never.
        private static let sizes = """
            import os, socket, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect((sys.argv[1], int(sys.argv[2])))
            s.settimeout(0.4)
            def comes(text):
                s.send(text)
                try:
                    while s.recv(65535) != text:
                        pass
                    return True
                except TimeoutError:
                    return False
            for size in map(int, sys.argv[3:]):
                text = os.urandom(size)
                print(next((attempt for attempt in range(1, 4) if comes(text)), 0))
            """

        private func carried(_ tunnel: DatagramTunnel, _ sizes: [Int]) async throws -> [Int] {
            let told = try await tunnel.visit(Self.sizes, sizes.map { "\($0)" })
            let attempts = told.split(separator: "\n").compactMap { Int($0) }
            try #require(attempts.count == sizes.count, "\(told)")
            if sizes.count > 1 || sizes.max() ?? 0 > 1_472 { print("sizes \(sizes), asked \(attempts) times") }
            return zip(sizes, attempts).filter { $0.1 > 0 }.map { $0.0 }
        }

        /// Three pieces of 1,472 bytes less the 40 of their headers (docs/protocol.md, "Datagrams").
        private static let longest = 3 * (1_472 - 40)

        @Test("a datagram has 0 to 4,296 bytes, is cut and joined where it has to be, and a longer one is dropped")
        func sizes() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary, service: Self.echo)
                // From then on as much fits as the wires take.
                try await eventually("the way's size is known", within: .seconds(10)) {
                    try await carried(tunnel, [Self.longest]) != []
                }
                let sizes = [0, 1, 1_420, 1_472, 3_000, Self.longest]
                try #require(try await carried(tunnel, sizes + [Self.longest + 1, 65_507]) == sizes)
                // The mapping and the flow have taken no harm from it.
                try #require(try await carried(tunnel, [100]) == [100])
            }
        }

        @Test("where datagrams take a stream every size gets through, up to the longest that there is")
        func stream() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary, service: Self.echo)
                try tunnel.world.lab.setUDP(.ordinary, isOpen: false)
                _ = try await carried(tunnel, [1])
                try await tunnel.peer.program.line(containing: "no UDP gets through")
                try await eventually("the stream is taken", within: .seconds(5)) {
                    try await carried(tunnel, [1]) != []
                }
                // Each is a flow of its own, so that the longest are the first that the node hears of it.
                for size in [0, 1_472, 4_297, 65_507] {
                    try #require(try await carried(tunnel, [size]) == [size], "\(size) bytes")
                }
            }
        }
    }
}
