public import PeerWire

/// What somebody has to open so that ports are reached.
public enum FirewallText {
    /// - Parameter place: whose firewall.
    public static func opening(_ ports: PortRange?, _ protocols: TransportProtocols, in place: String) -> String {
        let words = protocols.words.map { $0.uppercased() }.joined(separator: " and ")
        guard let ports else { return "open that \(words) port in \(place)" }
        return "open \(words) port\(ports.count == 1 ? "" : "s") \(ports) in \(place)"
    }
}
