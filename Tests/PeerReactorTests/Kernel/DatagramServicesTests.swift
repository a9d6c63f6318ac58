import Testing

@testable import PeerReactor

@Suite("The table of this machine's services for UDP")
struct DatagramServicesTests {
    private static func address(_ text: String, _ port: UInt16) throws -> SocketAddress {
        try #require(SocketAddress(numeric: text, port: port))
    }

    private static let all = ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0", "::1", "::"]

    @Test(
        "knows which addresses each socket serves",
        arguments: [
            ("127.0.0.1", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"]), ("127.0.0.2", ["127.0.0.2"]),
            ("0.0.0.0", ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0"]), ("::1", ["::1", "::"]),
            ("::", all),
        ] as [(String, [String])])
    func serves(_ bound: String, _ served: [String]) throws {
        let socket = try DatagramSocket.bound(to: try Self.address(bound, 0), .atTheEdge)
        let port = socket.local.port
        let services = DatagramServices()
        for text in Self.all {
            #expect(services.serves(try Self.address(text, port)) == served.contains(text), "\(text)")
        }
        withExtendedLifetime(socket) {}
    }

    @Test("knows that a socket is gone")
    func gone() throws {
        var socket: DatagramSocket? = try DatagramSocket.bound(to: try Self.address("127.0.0.3", 0), .atTheEdge)
        let port = try #require(socket).local.port
        #expect(DatagramServices().serves(try Self.address("127.0.0.3", port)))
        socket = nil
        #expect(!DatagramServices().serves(try Self.address("127.0.0.3", port)))
    }

    @Test("knows this machine's addresses from others'")
    func isHere() throws {
        let services = DatagramServices()
        for text in Self.all { #expect(services.isHere(try Self.address(text, 0).host), "\(text)") }
        for attached in AttachedNetworks.current() {
            let bytes = attached.address
            #expect(services.isHere(bytes.count == 4 ? .ipv4(bytes) : .ipv6(bytes, scope: 0)))
        }
        for text in ["192.0.2.9", "2001:db8::9"] { #expect(!services.isHere(try Self.address(text, 0).host)) }
    }
}
