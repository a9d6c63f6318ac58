public import PeerWire

/// What a member is told of this node (json/schema/api_node.schema.json).
public struct NodeFacts: Hashable, Sendable, Encodable {
    public var name: String
    public var key: NodeKey
    public var version: String
    /// `relay`, `peer`, both or neither.
    public var roles: [String]

    public init(name: String, key: NodeKey, version: String, roles: [String]) {
        self.name = name
        self.key = key
        self.version = version
        self.roles = roles
    }

    private enum CodingKeys: String, CodingKey {
        case name
        case key = "node_key"
        case version, roles
    }

    public func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(name, forKey: .name)
        try object.encode(key.description, forKey: .key)
        try object.encode(version, forKey: .version)
        try object.encode(roles, forKey: .roles)
    }
}
