internal import Crypto

/// What all members of a mesh know: 32 random bytes. It never travels between nodes; each side proves it over the
/// binding of their TLS connection, each direction its own, so a proof is worth nothing on any other connection and
/// cannot be handed back.
public struct MeshKey: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 32
    public static let proofByteCount = 32

    public let bytes: [UInt8]

    /// `nil` unless there are exactly 32 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Reads the 64 hexadecimal digits that `text` has.
    public init?(_ text: String) {
        guard let bytes = Hex.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    /// For key files and join links, and nothing else.
    public var text: String { Hex.encode(bytes) }

    /// Keeps the secret out of logs.
    public var description: String { "mesh key" }

    public enum Side: String, Sendable { case peer, relay }

    public func proof(by side: Side, over binding: ChannelBinding) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Self.content(side, binding), using: SymmetricKey(data: bytes)))
    }

    /// Compares in constant time.
    public func isProof(_ proof: [UInt8], by side: Side, over binding: ChannelBinding) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(
            proof, authenticating: Self.content(side, binding), using: SymmetricKey(data: bytes))
    }

    private static func content(_ side: Side, _ binding: ChannelBinding) -> [UInt8] {
        Array("p2prc/1 mesh \(side.rawValue)".utf8) + binding.bytes
    }
}
