internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// Brings what has changed to where people and programs look for it: the registries, standard output, the log and the
/// user's hook. Belongs to the control loop.
final class ListingsWriter {
    /// Changes within this time become one write of the registries.
    private static let delay = Instant.Span.milliseconds(50)
    /// Where there is much to write, it takes one part in so many of the control loop, however often it changes.
    private static let share: UInt64 = 20

    private let loop: EventLoop
    private let publisher: CoalescingWriter<Documents>
    private let hook: AddressHook?
    /// The public ports that this node gives out as a relay.
    private let ports: PortRange
    private let log: Logger
    private var isWaiting = false
    private var cost = Instant.Span.zero
    private var announcements = Announcements()
    /// Where visitors are sent, as it was told last.
    var addresses = PublishedAddresses()

    init(
        on loop: EventLoop, publisher: CoalescingWriter<Documents>, hook: AddressHook?, ports: PortRange, log: Logger
    ) {
        self.loop = loop
        self.publisher = publisher
        self.hook = hook
        self.ports = ports
        self.log = log
    }

    /// - Parameter write: called once for all changes of a moment; it gathers what there is and calls `write`.
    func changed(_ write: @escaping () -> Void) {
        guard !isWaiting else { return }
        isWaiting = true
        loop.schedule(after: max(Self.delay, cost * Self.share)) { [weak self] in
            guard let self else { return }
            isWaiting = false
            let began = loop.clock()
            write()
            cost = loop.clock() - began
        }
    }

    /// - Parameters:
    ///   - wishes: the mappings that are asked for now.
    ///   - relays: host:port of those that are published.
    func write(_ documents: Documents, of wishes: Set<MappingID>, at relays: Set<String>) {
        for line in announcements.news(in: documents.mappings) { Output.announce(line) }
        if let closed = announcements.closedPort(in: documents.mappings), let port = closed.blindPort {
            log.warning(
                "\(closed.peerName) does not reach its public port \(port) here, and visitors will not either: "
                    + "\(Documents.opening(ports, Announcements.protocols(of: closed, in: documents.mappings)))"
            )
        }
        publisher.save(documents)
        addresses = PublishedAddresses(documents.exposed, of: wishes, at: relays, after: addresses)
        hook?.announce(addresses)
    }

    /// Rows that no registry may hold.
    func tell(ofMisfits faults: [RegistryFault]) {
        for misfit in announcements.newMisfits(faults.map(\.description)) {
            log.warning("a row of the listings is left out: \(misfit)")
        }
    }
}

/// What people hear once, as long as it stays as it is.
struct Announcements {
    private var announced: Set<String> = []
    private var isToldOfClosedPorts = false
    private var misfits: Set<String> = []

    /// One line for each public port that is proven to work, once as long as it is this node's: that its service rests
    /// for a while is no news there.
    mutating func news(in registry: MappingRegistry) -> [String] {
        var standing: Set<String> = []
        var news: [String] = []
        for row in registry.mappings where row.role == .peer {
            guard let host = row.address, let port = row.blindPort else { continue }
            let way = "\(Endpoint(host: host, port: port)) -> \(row.target)"
            let line = "\(way) verified" + Self.remark(row)
            switch row.state {
            case .verified:
                standing.insert(line)
                if !announced.contains(line) { news.append(line) }
            case .active, .targetDown:
                if announced.contains(line) { standing.insert(line) }
                // It works, and not where visitors are told to come.
                guard row.state == .active, let reason = row.reason else { continue }
                standing.insert("\(way): \(reason)")
                if !announced.contains("\(way): \(reason)") { news.append("\(way): \(reason)") }
            case .requested, .bound, .committed, .refused, .unreachable, .offline, .waiting: break
            }
        }
        announced = standing
        return news
    }

    /// The first of this relay's public ports that its peer does not reach: once, until peers reach all of them.
    mutating func closedPort(in registry: MappingRegistry) -> MappingRegistry.Mapping? {
        let closed = registry.mappings.first { $0.role == .relay && $0.state == .unreachable && $0.blindPort != nil }
        defer { isToldOfClosedPorts = closed != nil }
        return isToldOfClosedPorts ? nil : closed
    }

    /// All that its port is for: a peer does not say which of two protocols does not come through.
    static func protocols(
        of row: MappingRegistry.Mapping, in registry: MappingRegistry
    ) -> TransportProtocols {
        let rows = registry.mappings.filter {
            ($0.mapping, $0.role, $0.peerName, $0.blindPort) == (row.mapping, row.role, row.peerName, row.blindPort)
        }
        return rows.reduce(into: []) { $0.formUnion($1.type == .udp ? .udp : .tcp) }
    }

    mutating func newMisfits(_ texts: [String]) -> Set<String> {
        defer { misfits = Set(texts) }
        return Set(texts).subtracting(misfits)
    }

    /// Whoever asked for one port and sees two wants to know why.
    private static func remark(_ row: MappingRegistry.Mapping) -> String {
        row.target == HostText.serverPort ? " (p2prc's own port, for other nodes; --no-server-port leaves it out)" : ""
    }
}
