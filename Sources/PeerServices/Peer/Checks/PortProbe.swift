internal import PeerReactor
internal import PeerWire

/// One check from outside of a public port, by the protocols that it is for. A port for both has to come through both
/// ways. The address is numeric, and whoever starts one has judged it (`DialGuard`).
enum PortProbe {
    /// - Parameters:
    ///   - key: of the peer whose port it is.
    ///   - done: called once, on the loop.
    static func begin(
        _ protocols: TransportProtocols, on loop: EventLoop, at address: SocketAddress, nonce: [UInt8],
        mapping: MappingID, key: NodeKey, done: @escaping (ReachabilityProbe.Outcome) -> Void
    ) {
        let datagrams = {
            _ = DatagramProbe(on: loop, at: address, nonce: nonce, mapping: mapping, key: key, done: done)
        }
        guard protocols.contains(.tcp) else { return datagrams() }
        _ = ReachabilityProbe(on: loop, at: address, nonce: nonce, mapping: mapping, key: key) { outcome in
            guard case .passed = outcome, protocols.contains(.udp) else { return done(outcome) }
            datagrams()
        }
    }
}
