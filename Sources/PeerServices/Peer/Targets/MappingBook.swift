internal import Logging
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerWire

/// The peer whose mappings a book holds.
protocol MappingBookHost: AnyObject {
    /// Another word about the services behind a mapping's ports.
    func targetsChanged(_ targets: TargetStates, of id: MappingID)
    /// What listings show has changed.
    func changed()
}

/// What this node exposes: the wishes of its user, where their visitors go, and what is known of the services there.
/// Lanes are told of every route. Belongs to the control loop.
final class MappingBook {
    /// What the log was told last of a mapping's targets.
    private struct TargetLog {
        var told = ServiceStates()
        /// Not before this again: visitors decide how often something changes.
        var next = Instant.zero
        var timer: LoopTimer?
        /// For answers from elsewhere.
        var strays = Allowance(burst: 1, pause: .seconds(600))
    }

    private static let logPause = Instant.Span.seconds(10)

    private let loop: EventLoop
    private let resolver: Resolver
    private let tables: ListenerTables
    private let news: TargetNews
    private weak var host: (any MappingBookHost)?
    private var lanes = LaneGroup<PeerLane>()
    private var wishes: [MappingID: MappingWish] = [:]
    private var temporary: Set<MappingID> = []
    private var watches: [MappingID: ServiceWatches] = [:]
    private var logs: [MappingID: TargetLog] = [:]
    private var routes: [MappingID: Route] = [:]
    /// Whoever asked for them waits for the first word about them, and drops those that are refused.
    var onTrial: Set<MappingID> = []
    /// Kept, and not exposed by this process.
    var resting: Set<MappingID> = []
    /// Whether a lease of a mapping that this node does not know is given back: not where what it knew was lost.
    var releasesUnknown = true

    init(on loop: EventLoop, _ resolver: Resolver, log: Logger) {
        self.loop = loop
        self.resolver = resolver
        tables = ListenerTables(on: loop)
        news = TargetNews(on: loop, log)
    }

    func start(for host: any MappingBookHost, _ lanes: LaneGroup<PeerLane>) {
        self.host = host
        self.lanes = lanes
    }

    func stop() {
        for watch in watches.values { watch.stop() }
    }

    // MARK: Wishes

    subscript(_ id: MappingID) -> MappingWish? { wishes[id] }

    var all: [MappingWish] { Array(wishes.values) }

    /// Whether it ends with this process, and leaves no trace in the IP table.
    func isTemporary(_ id: MappingID) -> Bool { temporary.contains(id) }

    /// It stays, though it was made to end with this process.
    func keep(_ id: MappingID) { temporary.remove(id) }

    /// Whether a relay's lease of a mapping is given back, because nobody here knows of it.
    func isToBeReleased(_ id: MappingID) -> Bool { wishes[id] == nil && releasesUnknown && !resting.contains(id) }

    /// Visitors that a mapping is for.
    func visitors(of id: MappingID) -> NetworkFilter {
        wishes[id].map { NetworkFilter(allow: $0.allow, deny: $0.deny) } ?? .everybody
    }

    /// - Parameter serverAddress: where this node's own server is.
    /// - Returns: `false` when it is there already.
    func add(_ wish: MappingWish, isTemporary: Bool, serverAddress: SocketAddress) -> Bool {
        guard wishes.updateValue(wish, forKey: wish.id) == nil else { return false }
        if isTemporary { temporary.insert(wish.id) }
        var route = Route(addresses: [], count: wish.ports.count, protocols: wish.protocols)
        route.proxyProtocol = wish.proxyProtocol
        switch wish.target {
        case .serverPort: route.addresses = [serverAddress]
        case .service(let host, let port):
            if let address = SocketAddress(numeric: host, port: port) { route.addresses = [address] }
            watches[wish.id] = watch(wish, Endpoint(host: host, port: port))
        }
        if !wish.isWatched { route.services = .answering(wish.ports.count) }
        routes[wish.id] = route
        publish(wish.id)
        return true
    }

    /// Another word of the user about a mapping that is there, with the same target. `false` when there is none.
    func change(_ wish: MappingWish) -> Bool {
        guard let former = wishes[wish.id], former.target == wish.target else { return false }
        wishes[wish.id] = wish
        if wish.isOnDemand != former.isOnDemand { rewatch(wish) }
        if wish.proxyProtocol != former.proxyProtocol {
            routes[wish.id]?.proxyProtocol = wish.proxyProtocol
            publish(wish.id)
        }
        return true
    }

    /// Visitors under way are reset.
    func remove(_ id: MappingID) -> MappingWish? {
        guard let wish = wishes.removeValue(forKey: id) else { return nil }
        temporary.remove(id)
        onTrial.remove(id)
        watches.removeValue(forKey: id)?.stop()
        logs.removeValue(forKey: id)?.timer?.cancel()
        routes[id] = nil
        publish(id)
        return wish
    }

    // MARK: Routes

    /// What a relay hears of the services behind a mapping's ports.
    func targets(of id: MappingID) -> TargetStates? { routes[id].map { $0.services.together($0.protocols) } }

    /// What is known of them, of each protocol by itself.
    func services(of id: MappingID) -> ServiceStates? { routes[id]?.services }

    /// Where its first public port is at each relay, which its target is told.
    func set(_ places: [NodeKey: SocketAddress], of id: MappingID) {
        guard let former = routes[id], former.places != places else { return }
        routes[id]?.places = places
        publish(id)
    }

    /// A check from outside is about to bring this nonce, to the port so many after the first one.
    func expect(_ nonce: [UInt8], at offset: UInt16, of id: MappingID) {
        routes[id]?.pendingChecks[nonce] = offset
        publish(id)
    }

    /// That check is over.
    func expectNoMore(_ nonce: [UInt8], of id: MappingID) {
        routes[id]?.pendingChecks[nonce] = nil
        publish(id)
    }

    private func publish(_ id: MappingID) {
        let route = routes[id]
        lanes.onAll { $0.setRoute(route, for: id) }
    }

    // MARK: Targets

    /// Looks at a mapping's target now instead of at the next turn.
    func look(at id: MappingID) { watches[id]?.ask() }

    /// Whether the target is being looked at, so that what is known of it may change at once.
    func isLooking(at id: MappingID) -> Bool { watches[id]?.isLooking ?? false }

    /// A visitor could not be connected.
    func targetFailed(_ id: MappingID, _ offset: UInt16, over transport: TransportProtocols, _ reason: String) {
        watches[id]?.targetFailed(offset, over: transport, reason)
    }

    /// A datagram came back from a service that was merely tried again.
    func targetAnswered(_ id: MappingID, _ offset: UInt16) { watches[id]?.targetAnswered(offset) }

    /// Something came to where the target answers a visitor, from elsewhere.
    func strayAnswer(_ id: MappingID, _ offset: UInt16, from source: DatagramAddress) {
        guard let wish = wishes[id], case .service(let host, let port) = wish.target,
            let address = routes[id]?.address(offset),
            logs[id, default: TargetLog()].strays.take(at: loop.now)
        else { return }
        let asked = DatagramAddress(address)
        news.strays(
            Endpoint(host: host, port: port &+ offset), source,
            isItsHost: (asked.high, asked.low) == (source.high, source.low))
    }

    private func watch(_ wish: MappingWish, _ endpoint: Endpoint) -> ServiceWatches {
        ServiceWatches(
            on: loop, resolver, tables, endpoint, for: wish,
            onWord: { [weak self] in self?.targetSeen(wish.id, $0) },
            onAnswered: { [weak self] in self?.host?.changed() })
    }

    /// It is watched from now on, or no longer.
    private func rewatch(_ wish: MappingWish) {
        guard case .service(let host, let port) = wish.target else { return }
        watches.removeValue(forKey: wish.id)?.stop()
        let watch = watch(wish, Endpoint(host: host, port: port))
        watches[wish.id] = watch
        routes[wish.id]?.services = wish.isWatched ? ServiceStates() : .answering(wish.ports.count)
        publish(wish.id)
        tellTargets(of: wish.id)
        watch.ask()
    }

    private func targetSeen(_ id: MappingID, _ word: ServiceWatches.Word) {
        guard let wish = wishes[id] else { return }
        routes[id]?.addresses = word.addresses
        routes[id]?.hosts = word.hosts
        routes[id]?.doubted = word.doubted
        if wish.isWatched { routes[id]?.services = word.services }
        publish(id)
        tellTargets(of: id)
        if wish.isWatched { tellLog(of: id) }
    }

    private func tellTargets(of id: MappingID) {
        if let targets = targets(of: id) { host?.targetsChanged(targets, of: id) }
        // That one of two services came or went is no news to a relay.
        if wishes[id]?.protocols == [.tcp, .udp] { host?.changed() }
    }

    /// At once, and then at most every few seconds what has become of it since.
    private func tellLog(of id: MappingID) {
        guard let wish = wishes[id], case .service(let host, let port) = wish.target, let now = routes[id]?.services
        else {
            return
        }
        var log = logs[id, default: TargetLog()]
        guard loop.now >= log.next else {
            if log.timer == nil {
                log.timer = loop.schedule(after: log.next - loop.now) { [weak self] in
                    self?.logs[id]?.timer = nil
                    self?.tellLog(of: id)
                }
                logs[id] = log
            }
            return
        }
        let endpoint = Endpoint(host: host, port: port)
        var isNews = false
        var next = now
        for transport in wish.protocols.each {
            let (now, told) = (now[transport], log.told[transport])
            let name = wish.protocols == transport ? "" : transport == .udp ? " for UDP" : " for TCP"
            let fallen = Set(now.silent.keys).subtracting(told.silent.keys)
            // One that is merely tried again is not said to be back, nor then to be away once more.
            let doubted = transport == .udp ? routes[id]?.doubted ?? [] : []
            let risen = Set(told.silent.keys).intersection(now.answering).subtracting(doubted)
            for offset in doubted { next[transport].silent[offset] = now.silent[offset] ?? told.silent[offset] }
            if !risen.isEmpty { news.answers(PortNames.text(endpoint, risen) + name, isMany: risen.count > 1) }
            if !fallen.isEmpty {
                let error = watches[id]?.word.errors[transport.rawValue] ?? ""
                news.silent(
                    PortNames.text(endpoint, fallen) + name, error, isMany: fallen.count > 1,
                    isTriedAgain: !fallen.isDisjoint(with: doubted))
            }
            isNews = isNews || !risen.isEmpty || !fallen.isEmpty
        }
        guard isNews else { return }
        log.told = next
        log.next = loop.now + Self.logPause
        logs[id] = log
    }
}
