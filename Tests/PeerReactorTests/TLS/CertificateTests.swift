import PeerWire
import Testing

@testable import PeerReactor

struct CertificateTests {
    @Test func `a certificate says whose key it is, and nothing else of its node`() throws {
        let (one, other) = (try TLSNode(1), try TLSNode(2))
        let (first, second) = (one.context.certificate, other.context.certificate)
        #expect(TLSContext.key(ofCertificate: first) == one.key)
        #expect(TLSContext.key(ofCertificate: second) == other.key)
        // All but key and signature are the same for everybody.
        let differing = zip(first, second).filter { $0 != $1 }.count
        #expect(first.count == second.count && differing <= NodeKey.byteCount + 64)
        #expect(try TLSNode(1).context.certificate == first, "made anew it is the same")
    }

    @Test func `with any bit flipped a certificate is refused, or is another key's`() throws {
        let node = try TLSNode(1)
        let good = node.context.certificate
        for at in good.indices {
            for bit in 0..<8 {
                var bad = good
                bad[at] ^= 1 << UInt8(bit)
                #expect(TLSContext.key(ofCertificate: bad) != node.key, "byte \(at), bit \(bit)")
            }
        }
    }

    @Test func `a certificate that is cut, lengthened or of another kind stands for no key`() throws {
        let good = try TLSNode(1).context.certificate
        for count in 0..<good.count { #expect(TLSContext.key(ofCertificate: Array(good.prefix(count))) == nil) }
        #expect(TLSContext.key(ofCertificate: good + [0]) == nil)
        #expect(TLSContext.key(ofCertificate: good + good) == nil)
        for other in [ForeignCertificate.rsa(), .ecdsa(), .signedByAnother()] {
            #expect(TLSContext.key(ofCertificate: other.der) == nil)
        }
    }
}
