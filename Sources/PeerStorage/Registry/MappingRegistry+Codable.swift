import PeerCore
import PeerWire

extension MappingRegistry.Mapping: Codable {
    enum CodingKeys: String, CodingKey {
        case serverName = "Server_name"
        case address = "Address"
        case type = "Type"
        case blindPort = "blind_port"
        case state = "State"
        case target = "Target"
        case mapping = "Mapping"
        case relay = "Relay"
        case role = "Role"
        case peerName = "Peer_name"
        case peerKey = "Peer_key"
        case verifiedBy = "Verified_by"
        case reason = "Reason"
        case leaseExpires = "Lease_expires"
        case receipt = "Receipt"
        case encryption = "Encryption"
        case carrier = "Carrier"
        case flows = "Flows"
        case toldAs = "Told_as"
        case name = "Name"
        case allow = "Allow"
        case deny = "Deny"
        case proxyProtocol = "Proxy_protocol"
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        // In the order of the columns, so that the first damaged one is named.
        serverName = try container.decode(String.self, forKey: .serverName)
        address = try container.decode(String?.self, forKey: .address)
        type = try container.decode(Transport.self, forKey: .type)
        blindPort = try container.decodePortOrNull(forKey: .blindPort)
        state = try container.decode(State.self, forKey: .state)
        target = try container.decode(String.self, forKey: .target)
        mapping = try container.decodeMapping(forKey: .mapping)
        relay = try container.decode(String?.self, forKey: .relay)
        role = try container.decode(Role.self, forKey: .role)
        peerName = try container.decode(String.self, forKey: .peerName)
        peerKey = try container.decodeNodeKey(forKey: .peerKey)
        verifiedBy = try container.decode([String].self, forKey: .verifiedBy)
        reason = try container.decodeTextIfContained(forKey: .reason)
        leaseExpires = container.contains(.leaseExpires) ? try container.decodeTime(forKey: .leaseExpires) : nil
        receipt = try container.decodeTextIfContained(forKey: .receipt)
        way.encryption =
            container.contains(.encryption) ? try container.decode(ChannelEncryption.self, forKey: .encryption) : nil
        way.carrier = container.contains(.carrier) ? try container.decode(Way.Carrier.self, forKey: .carrier) : nil
        way.flows = container.contains(.flows) ? try container.decodeCount(forKey: .flows) : nil
        toldAs = try container.decodeTextIfContained(forKey: .toldAs).map(PlainText.cleaned)
        name = try container.decodeTextIfContained(forKey: .name)
        visitors = NetworkFilter(
            allow: try container.decodeNetworks(forKey: .allow), deny: try container.decodeNetworks(forKey: .deny))
        proxyProtocol = try container.decodeProxyProtocol(forKey: .proxyProtocol)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(serverName, forKey: .serverName)
        try container.encode(address, forKey: .address)
        try container.encode(type, forKey: .type)
        try container.encode(blindPort, forKey: .blindPort)
        try container.encode(state, forKey: .state)
        try container.encode(target, forKey: .target)
        try container.encode(mapping.description, forKey: .mapping)
        try container.encode(relay, forKey: .relay)
        try container.encode(role, forKey: .role)
        try container.encode(peerName, forKey: .peerName)
        try container.encode(peerKey.description, forKey: .peerKey)
        try container.encode(verifiedBy, forKey: .verifiedBy)
        try container.encodeIfPresent(reason, forKey: .reason)
        try container.encodeIfPresent(leaseExpires?.rfc3339, forKey: .leaseExpires)
        try container.encodeIfPresent(receipt, forKey: .receipt)
        try container.encodeIfPresent(way.encryption, forKey: .encryption)
        try container.encodeIfPresent(way.carrier, forKey: .carrier)
        try container.encodeIfPresent(way.flows, forKey: .flows)
        try container.encodeIfPresent(toldAs, forKey: .toldAs)
        try container.encodeIfPresent(name, forKey: .name)
        try container.encodeIfPresent(Self.texts(visitors.allow), forKey: .allow)
        try container.encodeIfPresent(Self.texts(visitors.deny), forKey: .deny)
        if proxyProtocol != .off { try container.encode(proxyProtocol.description, forKey: .proxyProtocol) }
    }

    private static func texts(_ networks: [Network]) -> [String]? {
        networks.isEmpty ? nil : networks.map(\.description)
    }
}
