import Crypto
import Foundation
import PeerWire
import Testing

@testable import PeerRatchet

/// What others publish of X25519, HKDF, AES-256-GCM and ChaCha20-Poly1305 (`json/vectors/primitives.json`), through the
/// code that circuits use.
struct PrimitiveVectorTests {
    struct Vector: Decodable, Sendable, CustomTestStringConvertible {
        var name: String
        var kind: String
        var fields: [String: String]

        var testDescription: String { name }

        func bytes(_ field: String) throws -> [UInt8] { try #require(fields[field].flatMap(Hex.decode)) }

        static let all: [Vector] = {
            let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .appending(path: "../../json/vectors/primitives.json").standardizedFileURL
            return (try? JSONDecoder().decode([Vector].self, from: Data(contentsOf: file))) ?? []
        }()
    }

    @Test func `there are vectors of each`() {
        #expect(
            Set(Vector.all.map(\.kind)) == ["X25519", "HKDF-SHA256", "AES-256-GCM", "ChaCha20-Poly1305"])
    }

    @Test(arguments: Vector.all) func `comes out as published`(_ vector: Vector) throws {
        switch vector.kind {
        case "X25519":
            let pair = try #require(AgreementPair(seed: try vector.bytes("scalar")))
            let agreed = try pair.agreed(with: try #require(AgreementKey(bytes: try vector.bytes("u"))))
            #expect(try agreed.withUnsafeBytes { Array($0) } == vector.bytes("out"))
        case "HKDF-SHA256":
            let wanted = try vector.bytes("okm")
            let made = HKDF<SHA256>.deriveKey(
                inputKeyMaterial: SymmetricKey(data: try vector.bytes("ikm")), salt: try vector.bytes("salt"),
                info: try vector.bytes("info"), outputByteCount: wanted.count)
            #expect(made.withUnsafeBytes { Array($0) } == wanted)
        default:
            let suite: RecordSuite = vector.kind == "AES-256-GCM" ? .aes256GCM : .chacha20Poly1305
            let key = SymmetricKey(data: try vector.bytes("key"))
            let (nonce, header) = (try vector.bytes("nonce"), try vector.bytes("aad"))
            let (text, sealed) = (try vector.bytes("text"), try vector.bytes("sealed"))
            guard vector.fields["forged"] == nil else {
                #expect(throws: RatchetError.notGenuine) {
                    try suite.open(sealed, key, nonce: nonce, authenticating: header)
                }
                return
            }
            #expect(try suite.seal(text, key, nonce: nonce, authenticating: header) == sealed)
            #expect(try suite.open(sealed, key, nonce: nonce, authenticating: header) == text)
        }
    }
}
