/// All that a node needs in order to join through a relay, in one piece of text for copy and paste:
///
/// ```
/// p2prc://203.0.113.11:8088/<the relay's key, 64 digits>/<mesh key, 64 digits>
/// ```
/// The last part is missing where the relay is open. Whoever has a link with a mesh key is a member: it is a secret.
public struct JoinLink: Hashable, Sendable {
    public static let scheme = "p2prc://"

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
        "\(Self.scheme)\(address)/\(relay)" + (meshKey.map { "/\($0.text)" } ?? "")
    }

    /// `nil` unless it is a link in full: a part that was cut off in copying must not change its meaning.
    public init?(_ text: String) {
        guard text.hasPrefix(Self.scheme), text.utf8.count <= 512 else { return nil }
        let parts = text.dropFirst(Self.scheme.count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3, !parts[0].isEmpty, let relay = NodeKey(String(parts[1])) else {
            return nil
        }
        var meshKey: MeshKey?
        if parts.count == 3 {
            guard let key = MeshKey(String(parts[2])) else { return nil }
            meshKey = key
        }
        self.init(address: String(parts[0]), relay: relay, meshKey: meshKey)
    }
}
