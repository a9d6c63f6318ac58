import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// What other people's TLS gets out of a node.
@Suite(.serialized)
struct ForeignTLSTests {
    private let loop: EventLoop
    private let node: TLSNode

    init() throws {
        loop = try EventLoop.started()
        node = try TLSNode(1)
    }

    private func connect(
        alpn: [String], _ certificate: ForeignCertificate?, version: Int? = nil
    ) throws -> (client: Bool, server: Settled) {
        let (stream, other) = try TestSocket.pair()
        let settled = try loop.secure(stream, node, as: .server)
        let client = try ForeignTLS(.client, on: other, alpn: alpn, certificate: certificate, version: version)
        let isGood = client.handshake()
        return (isGood, try settled.next("end at the server"))
    }

    @Test func `a certificate as nodes have it opens a session`() throws {
        defer { loop.stop() }
        let certificate = ForeignCertificate.ed25519()
        let (isGood, server) = try connect(alpn: ["p2prc/1"], certificate)
        #expect(isGood)
        #expect(server.facts?.key == TLSContext.key(ofCertificate: certificate.der))
        #expect(server.facts?.key != nil)
    }

    @Test func `without a known application protocol there is no connection`() throws {
        defer { loop.stop() }
        for names in [[], ["h2"], ["p2prc/2"], ["p2prc/"], ["p2prc/11"], ["P2PRC/1"], ["http/1.0", "h3"]] {
            let (isGood, server) = try connect(alpn: names, .ed25519())
            #expect(!isGood && !server.isSecured, "\(names)")
        }
    }

    @Test func `among others the known application protocol is found`() throws {
        defer { loop.stop() }
        #expect(try connect(alpn: ["h2", "http/1.1"], nil).server.facts?.purpose == .http)
        #expect(try connect(alpn: ["h2", "http/1.1", "p2prc/1"], .ed25519()).server.facts?.purpose == .session)
    }

    @Test func `an HTTP client without a certificate has no key`() throws {
        defer { loop.stop() }
        let (isGood, server) = try connect(alpn: ["http/1.1"], nil)
        #expect(isGood && server.facts?.purpose == .http)
        #expect(server.isSecured && server.facts?.key == nil)
    }

    @Test(arguments: ["none", "RSA", "ECDSA", "signed by another key", "with a chain"])
    func `a session needs an Ed25519 certificate that its own key signed, and nothing else`(_ kind: String) throws {
        defer { loop.stop() }
        let (isGood, server) = try connect(alpn: ["p2prc/1"], try Self.certificate(kind))
        #expect(!isGood && !server.isSecured)
    }

    @Test(arguments: ["RSA", "ECDSA", "signed by another key", "with a chain"])
    func `a client takes no relay with another kind of certificate`(_ kind: String) throws {
        defer { loop.stop() }
        for role in [TLSHandshake.Role.session, .http] {
            let (stream, other) = try TestSocket.pair()
            let settled = try loop.secure(stream, node, as: role)
            let server = try ForeignTLS(.server, on: other, alpn: [], certificate: try Self.certificate(kind))
            _ = server.handshake()
            other.close()
            #expect(!(try settled.next("end at the client").isSecured))
        }
    }

    @Test func `a client takes a relay with the right kind of certificate, and its key`() throws {
        defer { loop.stop() }
        let certificate = ForeignCertificate.ed25519()
        let (stream, other) = try TestSocket.pair()
        let settled = try loop.secure(stream, node, as: .http)
        let server = try ForeignTLS(.server, on: other, alpn: [], certificate: certificate)
        #expect(server.handshake())
        #expect(try settled.next("end at the client").facts?.key == TLSContext.key(ofCertificate: certificate.der))
    }

    /// TLS 1.0, 1.1 and 1.2 by their numbers on the wire.
    @Test(arguments: [0x0301, 0x0302, 0x0303])
    func `older versions of TLS are refused at both ends`(_ version: Int) throws {
        defer { loop.stop() }
        let (isGood, server) = try connect(alpn: ["p2prc/1"], .ed25519(), version: version)
        #expect(!isGood && !server.isSecured)
        let (stream, other) = try TestSocket.pair()
        let settled = try loop.secure(stream, node, as: .session)
        let old = try ForeignTLS(.server, on: other, alpn: [], certificate: .ed25519(), version: version)
        #expect(!old.handshake())
        #expect(!(try settled.next("end at the client").isSecured))
    }

    private static func certificate(_ kind: String) throws -> ForeignCertificate? {
        switch kind {
        case "RSA": .rsa()
        case "ECDSA": .ecdsa()
        case "signed by another key": .signedByAnother()
        case "with a chain": .withChain()
        default: nil
        }
    }
}
