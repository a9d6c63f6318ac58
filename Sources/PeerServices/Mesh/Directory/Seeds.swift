internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Where the search for other nodes begins: relays that were joined, and the seeds of the IP table, each as host:port,
/// as it was written.
struct Seeds {
    /// Relays that the user joined.
    private var joined: Set<String> = []
    /// The rows of the IP table, with those that may not be dialled now.
    private(set) var rows: [Seed] = []
    /// Of the rows those that are asked.
    private var asked: Set<String> = []
    /// Keys that seeds proved; kept as long as this process runs.
    private(set) var keys: [String: NodeKey] = [:]
    /// What seeds last failed by, so that each trouble is told once.
    private var troubles: [String: String] = [:]

    /// Whose word a seed is; relays that the user joined are among them.
    func word(of seed: String) -> Word {
        joined.contains(seed) || rows.contains { $0.address == seed && $0.source.isUsers } ? .users : .others
    }

    mutating func join(_ seed: String) { joined.insert(seed) }

    /// - Returns: whether nothing else wants it asked.
    mutating func leave(_ seed: String) -> Bool {
        joined.remove(seed)
        return !asked.contains(seed)
    }

    /// The rows are others now, or others of them may be dialled.
    ///
    /// - Returns: those that are no longer to be asked, and those that are from now on, in the order of the rows.
    mutating func change(to rows: [Seed], isAllowed: (Endpoint) -> Bool) -> (gone: Set<String>, new: [String]) {
        self.rows = rows
        let wanted = Set(
            rows.filter { seed in seed.source.isUsers || Endpoint(seed.address).map(isAllowed) ?? false }.map(
                \.address))
        let gone = asked.subtracting(wanted).subtracting(joined)
        let new = wanted.subtracting(asked)
        asked = wanted
        return (gone, rows.map(\.address).filter { new.contains($0) })
    }

    mutating func proved(_ key: NodeKey, at seed: String) {
        if keys.count < PartnerBook.maximumSeeds { keys[seed] = key }
    }

    mutating func forgetKey(at seed: String) { keys[seed] = nil }

    /// - Returns: whether that is worth a line. Of relays that were joined, who keeps the session tells already.
    mutating func isNews(_ trouble: String, of seed: String) -> Bool {
        // Without its figures: how long an attempt took differs each time.
        let kind = trouble.filter { !$0.isNumber }
        guard !joined.contains(seed), troubles[seed] != kind else { return false }
        troubles[seed] = kind
        return true
    }

    /// - Returns: whether a trouble was told that is over now.
    mutating func answered(_ seed: String) -> Bool { troubles.removeValue(forKey: seed) != nil }
}

extension Directory {
    /// What is there, as far as it is known: pinned by the user, or proven before.
    func key(ofSeed seed: String) -> NodeKey? { context.host.pinnedKey(of: seed) ?? seeds.keys[seed] }

    /// A relay that the user joined.
    func add(seed: Endpoint) {
        seeds.join(seed.description)
        begin(with: seed.description)
    }

    func remove(seed: Endpoint) {
        if seeds.leave(seed.description) { gossip.book.remove(seed: seed.description) }
    }

    /// The seeds of the IP table, all there are. What others brought is their word, and dialled as such: an address of
    /// a public network, or of one that this machine is part of now.
    func seedsChanged(_ rows: [Seed]) {
        let (gone, new) = seeds.change(to: rows, isAllowed: client.isAllowed)
        for seed in gone { gossip.book.remove(seed: seed) }
        let leftOut = new.filter { !begin(with: $0) }
        guard let first = leftOut.first else { return }
        let others = leftOut.count == 1 ? first : "\(first) and \(leftOut.count - 1) more"
        context.log.warning(
            "the mesh asks \(PartnerBook.maximumSeeds) addresses at most; left out: \(others)")
    }

    /// This machine is part of other networks now.
    func networksChanged() { seedsChanged(seeds.rows) }

    /// `false` where there are too many.
    @discardableResult
    private func begin(with seed: String) -> Bool {
        let isTaken = gossip.book.add(seed: seed)
        gossip.hurry(at: context.now)
        coordinator?.arm()
        return isTaken
    }
}
