internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What is known of the services behind mappings, and what the log is told of it.
extension PeerService {
    /// What the log was told last of a mapping's targets.
    struct TargetLog {
        var told = TargetStates()
        /// Not before this again: visitors decide how often something changes.
        var next = Instant.zero
        var timer: LoopTimer?
    }

    private static let logPause = Instant.Span.seconds(10)

    func watch(_ wish: MappingWish, _ endpoint: Endpoint) -> TargetWatch {
        let watch = TargetWatch(
            on: loop, resolver, tables, endpoint, count: wish.ports.count, isOnDemand: wish.isOnDemand
        ) { [weak self] word in self?.targetSeen(wish.id, word) }
        watch.onAnswered = { [weak self] in self?.host?.changed() }
        return watch
    }

    /// It is watched from now on, or no longer.
    func rewatch(_ wish: MappingWish) {
        guard case .service(let host, let port) = wish.target else { return }
        watches.removeValue(forKey: wish.id)?.stop()
        let watch = watch(wish, Endpoint(host: host, port: port))
        watches[wish.id] = watch
        routes[wish.id]?.targets = wish.isWatched ? TargetStates() : .answering(wish.ports.count)
        publishRoute(wish.id)
        tellTargets(of: wish.id)
        watch.ask()
    }

    private func targetSeen(_ id: MappingID, _ word: TargetWatch.Word) {
        guard let wish = wishes[id] else { return }
        routes[id]?.addresses = word.addresses
        routes[id]?.hosts = word.hosts
        if wish.isWatched { routes[id]?.targets = word.states }
        publishRoute(id)
        tellTargets(of: id)
        if wish.isWatched { tellLog(of: id, word.error) }
    }

    private func tellTargets(of id: MappingID) {
        guard let targets = routes[id]?.targets else { return }
        for relay in relays { handle(.targets(targets), id, relay) }
    }

    /// At once, and then at most every few seconds what has become of it since.
    private func tellLog(of id: MappingID, _ error: String) {
        guard let wish = wishes[id], case .service(let host, let port) = wish.target, let now = routes[id]?.targets
        else {
            return
        }
        var log = targetLogs[id, default: TargetLog()]
        guard loop.now >= log.next else {
            if log.timer == nil {
                log.timer = loop.schedule(after: log.next - loop.now) { [weak self] in
                    self?.targetLogs[id]?.timer = nil
                    self?.tellLog(of: id, error)
                }
                targetLogs[id] = log
            }
            return
        }
        let endpoint = Endpoint(host: host, port: port)
        let fallen = Set(now.silent.keys).subtracting(log.told.silent.keys)
        let risen = Set(log.told.silent.keys).intersection(now.answering)
        if !risen.isEmpty { news.answers(PortNames.text(endpoint, risen), isMany: risen.count > 1) }
        if !fallen.isEmpty { news.silent(PortNames.text(endpoint, fallen), error, isMany: fallen.count > 1) }
        guard !risen.isEmpty || !fallen.isEmpty else { return }
        log.told = now
        log.next = loop.now + Self.logPause
        targetLogs[id] = log
    }
}

/// Some ports of a target in words: `127.0.0.1:80, 127.0.0.1:82-90`.
enum PortNames {
    private static let longest = 8

    static func text(_ endpoint: Endpoint, _ offsets: Set<UInt16>) -> String {
        var runs: [(first: UInt16, last: UInt16)] = []
        for offset in offsets.sorted() {
            if let last = runs.last, last.last + 1 == offset {
                runs[runs.count - 1].last = offset
            } else {
                runs.append((offset, offset))
            }
        }
        let names = runs.prefix(longest).map { run in
            Endpoint(host: endpoint.host, port: endpoint.port + run.first).text(ofPorts: Int(run.last - run.first) + 1)
        }
        return names.joined(separator: ", ") + (runs.count > longest ? " and others" : "")
    }
}
