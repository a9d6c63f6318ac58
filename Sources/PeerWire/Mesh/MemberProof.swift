internal import Crypto

/// Shows, over a connection on which both ends have proven their node keys, that the sender has the mesh key: an HMAC
/// over both node keys, the sender's first. It is worth nothing to anybody else, nor between two other nodes, nor in
/// the other direction, so it needs no nonce.
///
/// As text, in the header `P2PRC-Member`: 64 hexadecimal digits for each mesh key that the sender knows, with commas.
public enum MemberProof {
    static let label = Array("p2prc/1 mesh member".utf8)
    /// Proofs in one header, at most.
    public static let maximum = 4

    public static func bytes(of sender: NodeKey, to receiver: NodeKey, with meshKey: MeshKey) -> [UInt8] {
        Array(
            HMAC<SHA256>.authenticationCode(
                for: label + sender.bytes + receiver.bytes, using: SymmetricKey(data: meshKey.bytes)))
    }

    /// `nil` without a mesh key.
    public static func text(of sender: NodeKey, to receiver: NodeKey, with meshKeys: [MeshKey]) -> String? {
        guard !meshKeys.isEmpty else { return nil }
        return meshKeys.prefix(maximum).map { Hex.encode(bytes(of: sender, to: receiver, with: $0)) }
            .joined(separator: ",")
    }

    /// Whether one of the proofs is by one of these mesh keys.
    public static func isValid(
        _ text: String, of sender: NodeKey, to receiver: NodeKey, with meshKeys: [MeshKey]
    ) -> Bool {
        guard text.utf8.count <= maximum * 65 else { return false }
        let codes = text.split(separator: ",").compactMap { Hex.decode(String($0)) }
        return meshKeys.contains { meshKey in
            let key = SymmetricKey(data: meshKey.bytes)
            // Compared in constant time.
            return codes.contains { code in
                HMAC<SHA256>.isValidAuthenticationCode(
                    code, authenticating: label + sender.bytes + receiver.bytes, using: key)
            }
        }
    }
}
