public import PeerCore
public import PeerDataPlane
public import PeerReactor

extension RelayService {
    /// What a relay is told once, when the node starts.
    public struct Setup: Sendable {
        public var name: String
        public var software: String
        /// Anybody may come in.
        public var isOpen = false
        /// Data channels go without encryption where the peer asks for that too.
        public var allowsPlain = false
        /// Where public ports are bound; `nil`: on all addresses.
        public var bindHost: SocketAddress.Host?
        /// The host that visitors are told; `nil`: the one by which a peer reached the relay.
        public var advertised: String?
        /// Where peers' datagrams come, which is the server's port number; `nil`: this relay takes none.
        public var datagramPort: UInt16?
        public var policy: RelayCore.Policy
        public var visitorPolicy: VisitorPolicy

        public init(name: String, software: String, policy: RelayCore.Policy, visitorPolicy: VisitorPolicy) {
            self.name = name
            self.software = software
            self.policy = policy
            self.visitorPolicy = visitorPolicy
        }
    }
}
