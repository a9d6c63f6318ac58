internal import PeerReactor
internal import PeerWire

/// One check from outside of a public port, by the protocols that it is for. A port for both has to come through both
/// ways. The address is numeric, and whoever starts one has judged it (`DialGuard`).
enum PortProbe {
    enum Outcome: Sendable {
        case passed
        /// `over`: what did not come through, or was not tried because of that.
        case failed(String, over: TransportProtocols)

        init(_ outcome: ReachabilityProbe.Outcome, _ protocols: TransportProtocols) {
            switch outcome {
            case .passed: self = .passed
            case .failed(let reason): self = .failed(reason, over: protocols)
            }
        }
    }

    /// - Parameters:
    ///   - key: of the peer whose port it is.
    ///   - done: called once, on the loop.
    static func begin(
        _ protocols: TransportProtocols, on loop: EventLoop, at address: SocketAddress, nonce: [UInt8],
        mapping: MappingID, key: NodeKey, done: @escaping (Outcome) -> Void
    ) {
        let datagrams = { (done: @escaping (ReachabilityProbe.Outcome) -> Void) in
            _ = DatagramProbe(on: loop, at: address, nonce: nonce, mapping: mapping, key: key, done: done)
        }
        guard protocols.contains(.tcp) else { return datagrams { done(Outcome($0, .udp)) } }
        _ = ReachabilityProbe(on: loop, at: address, nonce: nonce, mapping: mapping, key: key) { outcome in
            guard case .passed = outcome, protocols.contains(.udp) else { return done(Outcome(outcome, protocols)) }
            datagrams { outcome in
                guard case .failed(let reason) = outcome else { return done(.passed) }
                done(.failed("TCP comes through, UDP does not: \(reason)", over: .udp))
            }
        }
    }
}
