internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Knows whether the service behind each port of a mapping for one protocol answers (`TargetPlan` says when to look):
/// one on 127.0.0.1 is looked up in the system's table of listeners, others are connected to now and then. One that is
/// dialled for visitors alone is only looked up by its name. Of a service for UDP the system's table is all that can be
/// known, for every address of this machine, and what a visitor's datagram met. Belongs to the control loop.
final class TargetWatch {
    private static let limit = Instant.Span.seconds(2)
    /// What many ports of one look have to say is said together.
    private static let gathering = Instant.Span.milliseconds(50)
    /// A name whose target is never connected to is looked up anew so often, and after a visitor failed.
    private static let lookUpInterval = Instant.Span.seconds(60)

    /// What is known, and where the ports are.
    struct Word {
        var states: TargetStates
        /// Of the first port, the best one first.
        var addresses: [SocketAddress]
        /// Where a port was found elsewhere than there, by how many it is after the first one.
        var hosts: [UInt16: SocketAddress.Host]
        /// What the system said of the last one that did not answer.
        var error: String
        /// It is for UDP and on another machine: whether it answers shows when a visitor comes.
        var isUnseen = false
        /// Those that did not answer and are merely tried again since: nothing came from them yet. Only for UDP, where
        /// the system's table does not tell.
        var doubted: Set<UInt16> = []
    }

    private struct Kind {
        var isOnDemand: Bool
        var isForDatagrams: Bool
        /// The same mapping has a service for UDP too.
        var isBesideDatagrams: Bool
    }

    /// Where the target's name leads.
    private struct Name {
        var isNumeric = false
        var isLookedUp = false
        /// When it was looked up last, and what it led to then.
        var asked: Instant?
        var places: [SocketAddress] = []
        /// It leads to another machine, where nobody sees whether a service for UDP is there.
        var leadsElsewhere = false
    }

    private let loop: EventLoop
    private let resolver: Resolver
    private let tables: ListenerTables
    private let endpoint: Endpoint
    private let count: Int
    private let kind: Kind
    private var name = Name()
    private var plan: TargetPlan
    private var wanted: [UInt16] = []
    private var connectors: [UInt16: Connector] = [:]
    private var addresses: [SocketAddress] = []
    private var hosts: [UInt16: SocketAddress.Host] = [:]
    private var error = ""
    private var doubted: Set<UInt16> = []
    /// Somebody waits for all that was asked about.
    private var isAwaited = true
    private var isStopped = false
    private var timer: LoopTimer?
    private var wordTimer: LoopTimer?
    private let onWord: (Word) -> Void
    /// Everything that was asked is answered, whether that was news or not.
    var onAnswered: () -> Void = {}

    /// - Parameter isBesideDatagrams: the same mapping has a service for UDP too.
    init(
        on loop: EventLoop, _ resolver: Resolver, _ tables: ListenerTables, _ endpoint: Endpoint, for wish: MappingWish,
        isBesideDatagrams: Bool = false, onWord: @escaping (Word) -> Void
    ) {
        self.loop = loop
        self.resolver = resolver
        self.tables = tables
        self.endpoint = endpoint
        count = wish.ports.count
        kind = Kind(
            isOnDemand: wish.isOnDemand, isForDatagrams: !wish.protocols.contains(.tcp),
            isBesideDatagrams: isBesideDatagrams)
        self.onWord = onWord
        plan = TargetPlan(count: count)
        if let address = SocketAddress(numeric: endpoint.host, port: endpoint.port) {
            addresses = [address]
            name = Name(isNumeric: true, places: [address])
        }
    }

    func stop() {
        isStopped = true
        timer?.cancel()
        wordTimer?.cancel()
        for connector in connectors.values { connector.cancel() }
        connectors = [:]
    }

    /// Whether something is being looked at that somebody waits for, so that what is known is not the last word.
    var isLooking: Bool { !kind.isOnDemand && plan.isAsked }

    /// A visitor could not be connected.
    func targetFailed(_ offset: UInt16, _ reason: String) {
        if kind.isOnDemand { return lookUp(after: TargetPlan.interval) }
        guard plan.visitorFailed(offset, silence(at: offset), at: loop.now) else { return }
        error = reason
        doubt([offset])
        tell()
    }

    /// A datagram came back from it.
    func targetAnswered(_ offset: UInt16) {
        guard doubted.remove(offset) != nil else { return }
        _ = plan.answered(offset, at: loop.now)
        tell()
    }

    private func doubt(_ offsets: [UInt16]) {
        guard kind.isForDatagrams else { return }
        let services = tables.datagrams()
        if !services.isKnown || !name.places.contains(where: { services.isHere($0.host) }) {
            doubted.formUnion(offsets)
        }
    }

    /// Looks at once at whatever is not up, and goes on by itself.
    func ask() {
        isAwaited = true
        plan.ask(at: loop.now)
        look()
    }

    private func look() {
        guard !isStopped else { return }
        timer?.cancel()
        timer = loop.schedule(after: TargetPlan.interval) { [weak self] in self?.look() }
        if kind.isOnDemand { return lookUp(after: Self.lookUpInterval) }
        if kind.isForDatagrams {
            if listedDatagrams() { tell() }
        } else if endpoint.host == "127.0.0.1" {
            let table = tables.listeners()
            if plan.listed(at: loop.now, { table.contains(self.endpoint.port &+ $0) }) { tell() }
        }
        connect()
        tellAnswered()
    }

    /// Whether a port has come up at an address of this machine. A name may lead to several of them.
    private func listedDatagrams() -> Bool {
        guard name.isNumeric, let host = name.places.first?.host else { return false }
        let services = tables.datagrams()
        guard services.isHere(host) else { return false }
        return plan.listed(at: loop.now) {
            services.serves(SocketAddress(host: host, port: self.endpoint.port &+ $0))
        }
    }

    private func connect() {
        var isNews = false
        defer { if isNews { tell() } }
        repeat {
            wanted += plan.next(at: loop.now)
            guard !wanted.isEmpty, !name.isLookedUp else { return }
            let isFresh = name.asked.map { loop.now - $0 < TargetPlan.interval } ?? false
            guard name.isNumeric || isFresh && !name.places.isEmpty else { return resolve() }
            let offsets = wanted
            wanted = []
            isNews = connect(offsets) || isNews
            // Services for datagrams are looked at by now, and have made room for others.
        } while kind.isForDatagrams
    }

    /// - Returns: whether there is news of them already.
    private func connect(_ offsets: [UInt16]) -> Bool {
        if kind.isForDatagrams { return offsets.count { look(at: $0) } > 0 }
        for offset in offsets { connect(offset) }
        return false
    }

    private func resolve() {
        name.isLookedUp = true
        name.asked = loop.now
        let bound = LoopBound(self, on: loop)
        resolver.resolve(endpoint, on: loop) { result in bound.value.resolved(result) }
    }

    /// For what is not connected to: its name may lead elsewhere by now.
    private func lookUp(after span: Instant.Span) {
        guard !isStopped, !name.isLookedUp, !name.isNumeric else { return }
        if let asked = name.asked, loop.now - asked < span { return }
        resolve()
    }

    private func resolved(_ result: Result<[SocketAddress], Resolver.Failure>) {
        name.isLookedUp = false
        guard !isStopped else { return }
        let offsets = wanted
        wanted = []
        name.places = (try? result.get()) ?? []
        switch result {
        case .failure(let failure):
            error = failure.description
            doubt(offsets)
            let reason = "\(endpoint): \(failure.inShort)"
            var isNews = false
            for offset in offsets where plan.silent(offset, reason, at: loop.now) { isNews = true }
            answered(isNews)
        case .success(let found):
            if kind.isOnDemand, found != addresses {
                addresses = found
                onWord(word)
            }
            if addresses.isEmpty { addresses = found }
            answered(connect(offsets))
        }
    }

    private func places(of offset: UInt16) -> [SocketAddress] {
        name.places.map { SocketAddress(host: $0.host, port: endpoint.port + offset) }
    }

    private func connect(_ offset: UInt16) {
        let places = places(of: offset)
        connectors[offset] = Connector(on: loop, to: places, kind: .atTheEdge, limit: Self.limit) {
            [weak self] stream, error in
            guard let self, !isStopped else { return }
            connectors[offset] = nil
            guard let stream = consume stream else { return failed(offset, error) }
            let host = stream.remoteAddress?.host
            let farewell = ByteChannel(on: loop, stream)
            farewell.closeAfterFlush()
            let isNews = plan.answered(offset, at: loop.now)
            let isMoved = keep(host, offset, places)
            answered(isNews || isMoved)
        }
    }

    /// Of datagrams nobody answers to a connection: what the table of this machine does not deny is there.
    ///
    /// - Returns: whether that is news.
    private func look(at offset: UInt16) -> Bool {
        let (services, places) = (tables.datagrams(), places(of: offset))
        guard let place = places.first(where: { !services.isHere($0.host) || services.serves($0) }) else {
            error = "no socket is bound to it"
            let place = Endpoint(host: endpoint.host, port: endpoint.port &+ offset)
            return plan.silent(offset, "nothing takes datagrams at \(place)", at: loop.now)
        }
        name.leadsElsewhere = !services.isHere(place.host)
        let isNews = plan.answered(offset, at: loop.now)
        let isMoved = keep(place.host, offset, places)
        return isNews || isMoved
    }

    /// Keeps where a port was found. `true` when that is another place than before.
    private func keep(_ host: SocketAddress.Host?, _ offset: UInt16, _ places: [SocketAddress]) -> Bool {
        guard let host = host ?? places.first?.host else { return false }
        if offset == 0 || addresses.isEmpty {
            let first = SocketAddress(host: host, port: endpoint.port)
            guard addresses.first != first else { return false }
            addresses = [first]
            return true
        }
        guard (hosts[offset] ?? addresses.first?.host) != host else { return false }
        hosts[offset] = host
        return true
    }

    private func failed(_ offset: UInt16, _ error: SystemError) {
        // This node's own shortage is no fault of the target.
        guard !error.isOutOfDescriptors else { return plan.givenBack(offset, at: loop.now) }
        let forDatagrams = hasDatagrams(at: offset) ? "; a program has that port for UDP: --udp" : ""
        self.error = error.text + forDatagrams
        let neighbour = SocketAddress(
            numeric: endpoint.host == "127.0.0.1" ? "::1" : "127.0.0.1", port: endpoint.port + offset)
        // Where it listens on the other of the two only, that is worth a hint; it is looked for when somebody asks.
        guard error.isRefused, ["127.0.0.1", "::1"].contains(endpoint.host), plan.isAsked(offset), let neighbour else {
            return answered(plan.silent(offset, silence(at: offset), at: loop.now))
        }
        connectors[offset] = Connector(on: loop, to: [neighbour], kind: .atTheEdge, limit: Self.limit) {
            [weak self] stream, _ in
            guard let self, !isStopped else { return }
            connectors[offset] = nil
            let first = SocketAddress(host: neighbour.host, port: endpoint.port)
            let hint = stream == nil ? forDatagrams : ", \(neighbour) does: --target '\(first)'"
            answered(plan.silent(offset, silence(at: offset) + hint, at: loop.now))
        }
    }

    /// Whether a service for UDP may have been meant.
    private func hasDatagrams(at offset: UInt16) -> Bool {
        guard !kind.isBesideDatagrams, endpoint.host == "127.0.0.1", plan.isAsked(offset) else { return false }
        let services = tables.datagrams()
        let place = SocketAddress(host: .ipv4([127, 0, 0, 1]), port: endpoint.port &+ offset)
        return services.isKnown && services.serves(place)
    }

    private func silence(at offset: UInt16) -> String {
        "\(Endpoint(host: endpoint.host, port: endpoint.port &+ offset)) does not answer"
    }

    private func answered(_ isNews: Bool) {
        connect()
        if isNews { tell() }
        tellAnswered()
    }

    private func tellAnswered() {
        guard isAwaited, !plan.isAsked else { return }
        isAwaited = false
        onAnswered()
    }

    /// One port is told of at once; of many, what comes within a moment is told together.
    private func tell() {
        guard count > 1, plan.isLooking else {
            wordTimer?.cancel()
            wordTimer = nil
            return onWord(word)
        }
        guard wordTimer == nil else { return }
        wordTimer = loop.schedule(after: Self.gathering) { [weak self] in
            guard let self, !isStopped else { return }
            wordTimer = nil
            onWord(word)
        }
    }

    private var word: Word {
        Word(
            states: plan.states, addresses: addresses, hosts: hosts, error: error, isUnseen: name.leadsElsewhere,
            doubted: doubted)
    }
}

/// The system's tables of services, each read at most every 100 ms however many mappings ask. Belongs to one loop.
final class ListenerTables {
    private struct Cached<Table> {
        private static var lifetime: Instant.Span { .milliseconds(100) }
        private var last: (table: Table, readAt: Instant)?

        mutating func current(at now: Instant, _ read: () -> Table) -> Table {
            if let last, now - last.readAt <= Self.lifetime { return last.table }
            let table = read()
            last = (table, now)
            return table
        }
    }

    private let loop: EventLoop
    private var forTCP = Cached<ListeningPorts>()
    private var forUDP = Cached<DatagramServices>()

    init(on loop: EventLoop) { self.loop = loop }

    func listeners() -> ListeningPorts { forTCP.current(at: loop.clock()) { ListeningPorts() } }
    func datagrams() -> DatagramServices { forUDP.current(at: loop.clock()) { DatagramServices() } }
}
