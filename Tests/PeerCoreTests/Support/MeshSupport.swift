import PeerCore
import PeerWire
import SimulationSupport
import Testing

extension NodeKey {
    /// A key that is easy to tell from others; nobody can sign with it.
    static func number(_ number: UInt8) -> NodeKey { NodeKey(bytes: [UInt8](repeating: number, count: 32))! }
}

extension ProcessInstance {
    static func number(_ number: UInt8) -> ProcessInstance {
        ProcessInstance(bytes: [UInt8](repeating: number, count: 16))!
    }
}

extension MappingID {
    static func number(_ number: UInt64) -> MappingID { MappingID(value: number) }
}

extension SessionID {
    static func number(_ number: UInt64) -> SessionID { SessionID(value: number) }
}

extension Instant {
    static func at(_ milliseconds: UInt64) -> Instant { .zero + .milliseconds(milliseconds) }
}

extension Grant {
    /// What a member by the mesh key has, from one network.
    static let mesh = Grant(membership: .mesh(network: "192.0.2.0/24"))

    static func token(
        _ id: String, ports: [PortRange]? = nil, protocols: TransportProtocols? = nil, limits: Limits = Limits(),
        expires: WallTime? = nil
    ) -> Grant {
        Grant(membership: .token(id: id), ports: ports, protocols: protocols, limits: limits, expires: expires)
    }
}

extension PeerMessage.Introduction {
    static func of(_ instance: UInt8, name: String = "peer", began: UInt64 = 0) -> PeerMessage.Introduction {
        PeerMessage.Introduction(
            instance: .number(instance), name: name, dialled: "relay.example.org", software: "test", began: began)
    }
}

extension PeerMessage {
    static func wants(
        _ mapping: UInt64, _ wish: PortWish, _ protocols: TransportProtocols = .tcp, allow: [Network] = [],
        deny: [Network] = []
    ) -> PeerMessage {
        .request(
            Request(
                mapping: .number(mapping), protocols: protocols, wish: wish, target: "127.0.0.1:80", allow: allow,
                deny: deny))
    }
}

// `#expect` takes no mutating call.
func accepted(_ value: Bool, _ at: SourceLocation = #_sourceLocation) { #expect(value, sourceLocation: at) }
func refused(_ value: Bool, _ at: SourceLocation = #_sourceLocation) { #expect(!value, sourceLocation: at) }

func required<Value>(_ value: Value?, _ at: SourceLocation = #_sourceLocation) throws -> Value {
    try #require(value, sourceLocation: at)
}
