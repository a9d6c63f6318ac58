public import PeerCore
public import PeerWire

/// What `config.toml` sets, and some of it flags, with the default of each. `Setting` has the names.
public struct NodeConfig: Hashable, Sendable {
    /// What the node calls itself; `nil`: the machine's name.
    public var name: String?
    public var serverPort: UInt16 = 8088
    /// A numeric address of this machine; `nil`: all.
    public var bind: String?
    /// The host that visitors are told; `nil`: what peers reach this relay by.
    public var advertise: String?
    /// Public ports to give out; `nil`: 20000 up to below those that the system takes for itself.
    public var ports: PublicPorts?
    /// Whether anybody may join.
    public var isOpen = false
    /// Whether data channels go unencrypted where the other end wants it too.
    public var isPlain = false
    /// Whether public ports are given out for datagrams (UDP), too.
    public var carriesDatagrams = true
    /// Where P2PRC nodes may exchange tables with this one: address and port; `nil`: nowhere.
    public var p2prcCompat: String?
    /// Relays to hold sessions to at once, of which the user names some or none; 0: only those that the user names.
    public var sessions = 2
    /// A command line for the shell, run when the published addresses have changed.
    public var hook: String?
    /// How long a lease lasts after its last session, in hours.
    public var leaseHours = 24
    /// Who may use public ports.
    public var visitors = NetworkFilter.everybody
    /// Who may come to the server port.
    public var peers = NetworkFilter.everybody
    /// For each membership without limits of its own.
    public var limits = RelayCore.Policy.usualLimits
    /// For each mapping for UDP.
    public var datagrams = DatagramLimits()
    public var sources = SourceGate.Limits()
    public var reserve = Reserve()
    /// Networks that are dialled on others' word, besides public addresses and networks that this machine is part of.
    public var meshDial: [Network] = []
    /// What features set that have their keys to themselves (`ConfigValue`); the defaults are not in it.
    var features: [ObjectIdentifier: FeatureValue] = [:]

    /// What is kept for sessions, and never used up by visitors.
    public struct Reserve: Hashable, Sendable {
        /// Of the open files that the system allows.
        public var descriptors = 1_024
        /// Bytes, of the memory that buffers may have.
        public var buffers = 64 << 20

        public init() {}
    }

    public init() {}
}
