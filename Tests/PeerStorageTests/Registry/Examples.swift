import PeerCore
import PeerStorage
import PeerWire

extension ServerRegistry.Server {
    static func example(_ number: Int) -> Self {
        Self(
            name: "relay \(number)", address: "[2001:db8::\(number)]:8088", latency: .microseconds(12_345),
            state: .connected, key: .number(UInt8(truncatingIfNeeded: number)), lastSeen: .someday)
    }
}

extension MappingRegistry.Mapping {
    static func example(_ port: UInt16) -> Self {
        Self(
            serverName: "relay", address: "203.0.113.7", type: .udp, blindPort: port, state: .targetDown,
            target: "server port", mapping: MappingID(value: 255), relay: "203.0.113.7:8088", role: .relay,
            peerName: "lap\u{1b}top \"ü\"\\\n", peerKey: .number(1), verifiedBy: ["a", "b"], reason: "nobody listens",
            leaseExpires: .someday)
    }
}
