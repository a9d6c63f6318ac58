internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The watches over what is behind a mapping's ports: one for each protocol, because a service for TCP says nothing
/// about the one for UDP on the same number. Belongs to the control loop.
final class ServiceWatches {
    /// What is known, and where the ports are.
    struct Word {
        var services = ServiceStates()
        /// As in `TargetWatch.Word`: of the service for TCP where there is one, which finds out more.
        var addresses: [SocketAddress] = []
        var hosts: [UInt16: SocketAddress.Host] = [:]
        /// What the system said of the last one that did not answer, by the protocol.
        var errors: [UInt8: String] = [:]
        /// Services for UDP that are merely tried again, as in `TargetWatch.Word`.
        var doubted: Set<UInt16> = []
    }

    private var watches: [(transport: TransportProtocols, watch: TargetWatch)] = []
    private(set) var word = Word()
    private let onWord: (Word) -> Void

    /// - Parameter onAnswered: everything that was asked about a protocol is answered, whether that was news or not.
    init(
        on loop: EventLoop, _ resolver: Resolver, _ tables: ListenerTables, _ endpoint: Endpoint, for wish: MappingWish,
        onWord: @escaping (Word) -> Void, onAnswered: @escaping () -> Void
    ) {
        self.onWord = onWord
        // On demand nothing but the name is looked up, once.
        for transport in wish.isOnDemand ? Array(wish.protocols.each.prefix(1)) : wish.protocols.each {
            var one = wish
            one.protocols = transport
            let watch = TargetWatch(
                on: loop, resolver, tables, endpoint, for: one, isBesideDatagrams: wish.protocols == [.tcp, .udp]
            ) { [weak self] in self?.heard($0, transport) }
            watch.onAnswered = onAnswered
            watches.append((transport, watch))
        }
    }

    func stop() { for each in watches { each.watch.stop() } }

    /// Looks at once at whatever is not up, and goes on by itself.
    func ask() { for each in watches { each.watch.ask() } }

    /// Whether something is being looked at that somebody waits for.
    var isLooking: Bool { watches.contains { $0.watch.isLooking } }

    /// A visitor could not be connected.
    func targetFailed(_ offset: UInt16, over transport: TransportProtocols, _ reason: String) {
        (watches.first { $0.transport == transport } ?? watches.first)?.watch.targetFailed(offset, reason)
    }

    /// A datagram came back from it.
    func targetAnswered(_ offset: UInt16) { watches.first { $0.transport == .udp }?.watch.targetAnswered(offset) }

    private func heard(_ told: TargetWatch.Word, _ transport: TransportProtocols) {
        word.services[transport] = told.states
        word.errors[transport.rawValue] = told.error
        if transport == .udp {
            word.services.isUnseen = told.isUnseen
            word.doubted = told.doubted
        }
        if transport == watches.first?.transport || word.addresses.isEmpty {
            word.addresses = told.addresses
            word.hosts = told.hosts
        }
        onWord(word)
    }
}
