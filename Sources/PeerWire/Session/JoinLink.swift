internal import Crypto

/// All that a node needs in order to join through a relay, in one piece of text for copy and paste:
///
/// ```
/// p2prc://203.0.113.11:8088/<the relay's key, 64 digits>/<mesh key, 64 digits>
/// ```
/// The last part is missing where the relay is open. Whoever has a link with a mesh key is a member: it is a secret.
///
/// Which of the letters `a` to `f` are capitals is a check on the digits: the n-th letter is one where the n-th bit of
/// the SHA-256 of all digits, in lower case, is set. That is read by a p2prc that knows nothing of it, and a link
/// whose letters are all of one case has no check. The address has none: it may be changed by hand.
public struct JoinLink: Hashable, Sendable {
    public static let scheme = "p2prc://"

    /// What a text is that should be a link.
    public enum Reading: Hashable, Sendable {
        case link(JoinLink)
        /// A part of it is missing, or something in it belongs to no link.
        case incomplete
        /// Its digits are not those that were copied.
        case mistyped
    }

    /// host:port, as it stands in the link; judged by whoever dials it.
    public var address: String
    public var relay: NodeKey
    public var meshKey: MeshKey?

    public init(address: String, relay: NodeKey, meshKey: MeshKey?) {
        self.address = address
        self.relay = relay
        self.meshKey = meshKey
    }

    public var text: String {
        let digits = Self.checked("\(relay)" + (meshKey.map { "/\($0.text)" } ?? ""))
        return "\(Self.scheme)\(address)/\(digits)"
    }

    /// `nil` unless it is a link in full: a part that was cut off in copying must not change its meaning.
    public init?(_ text: String) {
        guard case .link(let link) = Self.read(text) else { return nil }
        self = link
    }

    public static func read(_ text: String) -> Reading {
        guard text.hasPrefix(scheme), text.utf8.count <= 512 else { return .incomplete }
        let parts = text.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3, !parts[0].isEmpty, let relay = NodeKey(String(parts[1])) else {
            return .incomplete
        }
        var meshKey: MeshKey?
        if parts.count == 3 {
            guard let key = MeshKey(String(parts[2])) else { return .incomplete }
            meshKey = key
        }
        let digits = parts.dropFirst().joined(separator: "/")
        let isOfOneCase = digits == digits.lowercased() || digits == digits.uppercased()
        guard isOfOneCase || digits == checked(digits.lowercased()) else { return .mistyped }
        return .link(JoinLink(address: String(parts[0]), relay: relay, meshKey: meshKey))
    }

    /// - Parameter digits: of the keys, in lower case.
    private static func checked(_ digits: String) -> String {
        let hash = Array(SHA256.hash(data: Array(digits.utf8)))
        var letters = 0
        let bytes = digits.utf8.map { byte in
            guard (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte) else { return byte }
            defer { letters += 1 }
            let isCapital = hash[letters / 8 % hash.count] >> UInt8(7 - letters % 8) & 1 == 1
            return isCapital ? byte - 32 : byte
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
