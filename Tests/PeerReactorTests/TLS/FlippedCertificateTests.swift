import PeerWire
import Testing

@testable import PeerReactor

@Suite("A certificate")
struct FlippedCertificateTests {
    private func certificate() throws -> (der: [UInt8], key: NodeKey) {
        let seed = (1...32).map { UInt8($0) }
        let key = try #require(NodeIdentity(seed: seed)).key
        return (try TLSContext(seed: seed, keys: ChannelKeys()).certificate, key)
    }

    @Test("stands for the key of its node")
    func right() throws {
        let (der, key) = try certificate()
        #expect(TLSContext.key(ofCertificate: der) == key)
    }

    @Test("with any bit of it flipped is refused")
    func flipped() throws {
        var (der, _) = try certificate()
        for index in der.indices {
            for bit in 0..<8 {
                der[index] ^= 1 << UInt8(bit)
                #expect(TLSContext.key(ofCertificate: der) == nil, "byte \(index), bit \(bit)")
                der[index] ^= 1 << UInt8(bit)
            }
        }
    }

    @Test("that is cut off or has more behind it is refused")
    func length() throws {
        let (der, _) = try certificate()
        for count in 0..<der.count { #expect(TLSContext.key(ofCertificate: Array(der.prefix(count))) == nil) }
        #expect(TLSContext.key(ofCertificate: der + [0]) == nil)
    }
}
