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
        let peer = NamedNode(name: "lap\u{1b}top \"ü\"\\\n", key: .number(1))
        var row = Self(
            MappingID(value: 255), .udp, of: peer, at: "relay", role: .relay, state: .targetDown, target: "server port")
        row.address = "203.0.113.7"
        row.blindPort = port
        row.relay = "203.0.113.7:8088"
        row.verifiedBy = ["a", "b"]
        row.reason = "nobody listens"
        row.leaseExpires = .someday
        return row
    }
}
