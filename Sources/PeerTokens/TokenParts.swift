internal import FoundationEssentials
internal import PeerWire

/// A token taken apart, each part spelled in the one way there is, nothing trusted yet.
struct TokenParts {
    /// What a peer can show. A few hundred bytes are usual; long lists of domains make the longest.
    static let maximumByteCount = PeerMessage.Hello.maximumToken
    static let idCharacters = 1...64
    static let nameBytes = 1...128

    let text: String
    let header: TokenHeader
    let payload: [UInt8]

    init(_ text: String) throws(TokenRefusal) {
        guard text.utf8.count <= Self.maximumByteCount else {
            throw .malformed("it is longer than \(Self.maximumByteCount) bytes")
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .malformed("it has no three parts with dots between") }
        var decoded: [[UInt8]] = []
        for part in parts {
            // Strictly, because otherwise some changed characters would leave the token valid.
            guard let bytes = Base64.decode(part, .url) else { throw .malformed("a part of it is no base64url") }
            decoded.append(bytes)
        }
        self.text = text
        payload = decoded[1]
        header = try Self.decode(TokenHeader.self, decoded[0], "header")
        guard header.crit == nil else { throw .malformed("its header asks for extensions that are not known here") }
    }

    /// What the token says, whoever wrote it.
    func claims() throws(TokenRefusal) -> TokenClaims {
        try Self.checked(try Self.decode(TokenClaims.self, payload, "payload"))
    }

    /// What its holder has to know.
    func holdersClaims() throws(TokenRefusal) -> HoldersClaims {
        try Self.checked(try Self.decode(HoldersClaims.self, payload, "payload"))
    }

    static func checked<Claims: NamedClaims>(_ claims: Claims) throws(TokenRefusal) -> Claims {
        guard idCharacters.contains(claims.jti.utf8.count), claims.jti.utf8.allSatisfy(isPlain) else {
            throw .malformed("its jti is no name of letters, digits, '.', '_' and '-'")
        }
        guard isName(claims.sub) else {
            throw .malformed("its sub is no name of at most \(nameBytes.upperBound) bytes")
        }
        if let cnf = claims.cnf, cnf.nodeKey == nil { throw .malformed("its cnf is no Ed25519 key") }
        return claims
    }

    static func isName(_ text: String) -> Bool {
        nameBytes.contains(text.utf8.count)
            && !text.unicodeScalars.contains { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) }
    }

    static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private static func decode<Value: Decodable>(
        _: Value.Type, _ bytes: [UInt8], _ part: String
    ) throws(TokenRefusal) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            throw .malformed("its \(part) \(Self.reason(error))")
        }
    }

    /// One line of what the decoder says.
    private static func reason(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "has no '\(key.stringValue)'"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "has a wrong '\(context.codingPath.map(\.stringValue).joined(separator: "."))'"
        case DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty:
            "has a wrong '\(context.codingPath.map(\.stringValue).joined(separator: "."))': \(context.debugDescription)"
        default: "is no JSON"
        }
    }
}
