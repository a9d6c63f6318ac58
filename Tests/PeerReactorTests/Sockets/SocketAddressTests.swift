import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("Addresses")
struct SocketAddressTests {
    @Test(
        "are written as they are read",
        arguments: [
            ("127.0.0.1", "127.0.0.1:80"), ("0.0.0.0", "0.0.0.0:80"), ("255.255.255.255", "255.255.255.255:80"),
            ("::", "[::]:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80"), ("2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:80"),
            ("fe80::1%lo", "[fe80::1]:80"), ("fe80::1%1", "[fe80::1]:80"),
        ])
    func numeric(_ text: String, _ shown: String) {
        #expect(SocketAddress(numeric: text, port: 80)?.description == shown)
    }

    @Test(
        "are refused when they are none",
        arguments: [
            "", " ", "localhost", "127.1", "127.0.0.1.1", "256.0.0.1", "1.2.3.4 ", "127.0.0.1:80", "::1::", "[::1",
            "::1]", "[]", "12345::", "fe80::1%", "fe80::1%no-such-interface", "%lo", "::g",
        ])
    func noAddress(_ text: String) {
        #expect(SocketAddress(numeric: text, port: 80) == nil)
    }

    @Test("know loopback and unspecified")
    func kinds() throws {
        for text in ["127.0.0.1", "127.255.255.254", "::1"] {
            let address = try #require(SocketAddress(numeric: text, port: 1))
            #expect(address.isLoopback)
            #expect(!address.isUnspecified)
        }
        for address in [SocketAddress.any(port: 1), .anyIPv4(port: 1)] {
            #expect(address.isUnspecified)
            #expect(!address.isLoopback)
        }
        for text in ["10.0.0.1", "128.0.0.1", "::2", "1::1"] {
            let address = try #require(SocketAddress(numeric: text, port: 1))
            #expect(!address.isLoopback)
            #expect(!address.isUnspecified)
        }
    }

    @Test("of IPv4 visitors on a socket for both families are IPv4 addresses")
    func mapped() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let listener = Handed(try Listener.hold(port: 0, on: nil, .atTheEdge))
        try listener.value.listen()
        let came = Awaited<SocketAddress>()
        try loop.run { try listener.value.accept(on: loop) { _, address in came.tell(address) } }
        let visitor = try TestSocket.connected(to: listener.value.address.port)
        #expect(try came.next("visitor") == .loopback(visitor.port))
        try loop.run { listener.value.stopAccepting() }
    }

    @Test("survive the way through the system's own form")
    func roundTrip() throws {
        for text in ["1.2.3.4", "::1", "2001:db8::17", "fe80::1%1"] {
            let address = try #require(SocketAddress(numeric: text, port: 54_321))
            let back = address.withSystemAddress { system, length in
                var storage = sockaddr_storage()
                memcpy(&storage, system, Int(length))
                return SocketAddress(storage)
            }
            #expect(back == address)
        }
    }
}

@Suite("Endpoints")
struct EndpointTests {
    @Test(
        "are read as people write them",
        arguments: [
            ("relay.example.org:8088", "relay.example.org", 8_088), ("relay.example.org", "relay.example.org", 7),
            ("10.0.0.1:1", "10.0.0.1", 1), ("10.0.0.1:65535", "10.0.0.1", 65_535), ("[::1]:80", "::1", 80),
            ("[::1]", "::1", 7), ("::1", "::1", 7), ("2001:db8::1", "2001:db8::1", 7), ("a:08", "a", 8),
            ("127.1:80", "127.1", 80),
        ] as [(String, String, UInt16)])
    func good(_ text: String, _ host: String, _ port: UInt16) {
        #expect(Endpoint(text, defaultPort: 7) == Endpoint(host: host, port: port))
    }

    @Test(
        "are refused when host or port cannot be one",
        arguments: [
            "", ":", ":80", "host:", "host:0",
            "host:65536", "host:-1", "host:+80", "host:80x", "host: 80", "host:８０",
            "ho st:80", "host/path:80", "http://host:80", "[::1", "[::1]80", "[::1]:", "[::1]:0", "[]:80",
            "[host]:80", "::1:99999", "hôte:80", "host\n:80", "a:b:c", "::1%lo:1]:1", "host]:80",
            String(repeating: "a", count: 254) + ":80", "300.1.1.1:80", "1.2.3.4.5", "1.2.3.", ".",
        ])
    func bad(_ text: String) {
        #expect(Endpoint(text, defaultPort: 7) == nil)
    }

    @Test("need a port when there is no default")
    func noDefault() {
        #expect(Endpoint("host") == nil)
        #expect(Endpoint("[::1]") == nil)
        #expect(Endpoint("host:1")?.port == 1)
    }

    @Test("read back what they write", arguments: ["host:80", "1.2.3.4:1", "[2001:db8::1]:65535"])
    func roundTrip(_ text: String) {
        #expect(Endpoint(text)?.description == text)
    }
}
