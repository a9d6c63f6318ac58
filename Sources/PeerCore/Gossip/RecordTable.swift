public import PeerWire

/// The records of all nodes that this one knows of: the newest of each key, genuine and not expired.
///
/// Bounded, and a flood of made-up keys pushes nobody out. Hearsay and nodes that were met have places of their own. A
/// newcomer that was heard of while all places for hearsay are taken gets that of the youngest record which the most
/// talkative network brought, and only where that network has brought more than the newcomer's own. Records that were
/// there half a minute before the places ran out keep theirs, and so do those that were renewed for ten minutes: the
/// node that brought most of them may well be an honest seed. A node that is met while those places are taken gets that
/// of the last one of the network with most, by the same rule: who talks to this node itself is in the table at once.
public struct RecordTable: Sendable {
    /// What became of a record that came in.
    public enum Verdict: Hashable, Sendable {
        case added
        case renewed
        /// It is there already, or a newer one is.
        case known
        case refused(Refusal)
    }

    public enum Refusal: String, Hashable, Sendable, CaseIterable {
        /// The time of the record is over.
        case expired
        /// It was issued in the future: its node's clock is wrong, or this one's.
        case early
        case forged
        /// Its key has issued too many lately.
        case tooOften
        /// The table is full, and nobody has to go for it.
        case full
        /// Another key with the same tag is there.
        case sameTag
    }

    /// What a record's place depends on.
    enum Standing: UInt8, Sendable {
        case young
        /// Renewed long after it came: keeps its place.
        case settled
        /// Its node was talked to.
        case met
    }

    /// What is kept beside a record.
    struct Note: Sendable {
        /// Where it was heard from first, or met.
        var source: SourceKey
        var firstSeen: Instant
        var renewalsSince: Instant
        /// The young or met ones of the same source that came before and after it; 0 where there is none.
        var older: UInt64 = 0
        var newer: UInt64 = 0
        var renewals: UInt16 = 1
        var standing = Standing.young
        /// Its place in `contacts`, or -1.
        var contact: Int32 = -1
    }

    public let limits: GossipLimits
    /// By tag; each with its note.
    private var all: [UInt64: SignedRecord] = [:]
    private var notes: [UInt64: Note] = [:]
    /// Sums and tags of the finest buckets.
    private var sums: [UInt64]
    private var buckets: [[UInt64]]
    /// The coarser sums that were asked for last, until something changes.
    private var folded: [UInt64]?
    /// Tags of the records that have addresses, in no order.
    public private(set) var contacts: [UInt64] = []
    /// Records for each host.
    private(set) var hosts: [HostAddress: Int] = [:]
    /// The young ones by who brought them, the met ones by where they are; and the newest of each source.
    private var young = Places()
    private var met = Places()
    /// Since when all places for hearsay are taken.
    private var fullSince: Instant?
    /// Who had to go for somebody else since `takeDisplaced` was called.
    private var displaced: [NodeKey] = []
    /// Nothing expires before. Seconds.
    private var nextExpiry = Int64.max

    public init(_ limits: GossipLimits = GossipLimits()) {
        self.limits = limits
        sums = Array(repeating: 0, count: 1 << GossipDigest.maximumBucketBits)
        buckets = Array(repeating: [], count: 1 << GossipDigest.maximumBucketBits)
    }

    public var count: Int { all.count }
    public var records: [SignedRecord] { Array(all.values) }
    public subscript(key: NodeKey) -> SignedRecord? {
        all[key.tag].flatMap { $0.key == key ? $0 : nil }
    }
    public func isMet(_ key: NodeKey) -> Bool { metPlace(of: key) != nil }
    /// The networks that this node has met a node in.
    public func metPlace(of key: NodeKey) -> NetworkSteps? {
        guard let note = notes[key.tag], note.standing == .met, all[key.tag]?.key == key else { return nil }
        return note.source.host.map { NetworkSteps(of: $0) }
    }
    /// Where a record came from first, and how often it was renewed in the present `renewalSpan`.
    func renewals(of tag: UInt64) -> (source: SourceKey, count: UInt16)? { notes[tag].map { ($0.source, $0.renewals) } }
    /// Nodes that were met.
    public var metCount: Int { met.tally.count }

    /// Takes a record in, cheap checks first; `isGenuine` is asked last, and only where everything else speaks for it.
    ///
    /// - Parameters:
    ///   - time: seconds since 1970, as the mesh has it (`MeshClock`).
    ///   - source: the network that it came from, as seen on the connection.
    public mutating func take(
        _ record: SignedRecord, from source: Network, time: Int64, at now: Instant, isGenuine: (SignedRecord) -> Bool
    ) -> Verdict {
        let tag = record.tag
        if let known = all[tag], let note = notes[tag] {
            guard known.key == record.key else { return .refused(.sameTag) }
            guard record.issue > known.issue else { return .known }
            if let refusal = timeliness(of: record, time) { return .refused(refusal) }
            let isNewSpan = now - note.renewalsSince >= limits.table.renewalSpan
            guard isNewSpan || Int(note.renewals) < limits.table.renewals else { return .refused(.tooOften) }
            guard isGenuine(record) else { return .refused(.forged) }
            replace(tag, by: record, isNewSpan: isNewSpan, now)
            return .renewed
        }
        if let refusal = timeliness(of: record, time) { return .refused(refusal) }
        var leaving: UInt64?
        let source = SourceKey(source.address)
        if hearsayCount >= limits.table.capacity - limits.table.reserved {
            leaving = youngest(for: source, now)
            guard leaving != nil else { return .refused(.full) }
        } else if let since = fullSince, now > since,
            hearsayCount < (limits.table.capacity - limits.table.reserved) / 10 * 9
        {
            fullSince = nil
        }
        guard isGenuine(record) else { return .refused(.forged) }
        if let leaving { displace(leaving) }
        add(record, source, .young, now)
        return .added
    }

    /// The node itself was talked to, from or at that network. `false` where its place would be somebody's of a network
    /// that has no more than its own.
    @discardableResult
    public mutating func meet(_ key: NodeKey, at source: Network) -> Bool {
        guard all[key.tag]?.key == key, let note = notes[key.tag] else { return false }
        guard note.standing != .met else { return true }
        let source = SourceKey(source.address)
        guard makeRoom(forMet: source) else { return false }
        unlink(key.tag)
        notes[key.tag]?.source = source
        link(key.tag, .met)
        return true
    }

    /// As `take` and `meet`, for the record of the node that is talking: it finds room where hearsay would not.
    public mutating func takeOwn(
        _ record: SignedRecord, from source: Network, time: Int64, at now: Instant, isGenuine: (SignedRecord) -> Bool
    ) -> Verdict {
        let verdict = take(record, from: source, time: time, at: now, isGenuine: isGenuine)
        guard verdict == .refused(.full) else {
            meet(record.key, at: source)
            return verdict
        }
        let place = SourceKey(source.address)
        guard met.tally.count < limits.table.reserved || met.tally.yielding(to: place) != nil else { return verdict }
        guard isGenuine(record) else { return .refused(.forged) }
        _ = makeRoom(forMet: place)
        add(record, place, .met, now)
        return .added
    }

    private var hearsayCount: Int { count - met.tally.count }

    /// The record that goes for a newcomer that was heard of there.
    private mutating func youngest(for source: SourceKey, _ now: Instant) -> UInt64? {
        let since = fullSince ?? now
        fullSince = since
        while let network = young.tally.yielding(to: source), let tag = young.newest[network] {
            guard let note = notes[tag], note.firstSeen + limits.table.steadyAfter <= since else { return tag }
            // It is the newest of its source, so all others of that were there before as well.
            while let old = young.newest[network] { unlink(old) }
        }
        return nil
    }

    /// Whether there is a place for one more node that is met there; somebody may have gone for it.
    private mutating func makeRoom(forMet source: SourceKey) -> Bool {
        guard met.tally.count >= limits.table.reserved else { return true }
        guard let leaving = met.tally.yielding(to: source).flatMap({ met.newest[$0] }) else { return false }
        displace(leaving)
        return true
    }

    private mutating func displace(_ tag: UInt64) {
        if let key = all[tag]?.key { displaced.append(key) }
        remove(tag: tag)
    }

    /// Who had to go for somebody else since the last call.
    public mutating func takeDisplaced() -> [NodeKey] {
        defer { displaced.removeAll(keepingCapacity: true) }
        return displaced
    }

    /// Drops what has expired, and says what that was.
    public mutating func removeExpired(time: Int64) -> [NodeKey] {
        guard time >= nextExpiry else { return [] }
        let gone = all.values.filter { $0.expires <= time }.map(\.key)
        for key in gone { remove(tag: key.tag) }
        nextExpiry = all.values.map(\.expires).min() ?? .max
        return gone
    }

    // MARK: Digests

    /// Fine enough that a bucket has about eight records.
    public var digestBits: Int {
        let buckets = max(1, count / 8)
        return min(GossipDigest.maximumBucketBits, Int.bitWidth - 1 - buckets.leadingZeroBitCount)
    }

    public mutating func digestSums(bits: Int) -> [UInt64] {
        guard bits < GossipDigest.maximumBucketBits else { return sums }
        if let folded, folded.count == 1 << bits { return folded }
        let width = 1 << (GossipDigest.maximumBucketBits - bits)
        var coarse = [UInt64](repeating: 0, count: 1 << bits)
        for index in 0..<sums.count { coarse[index / width] &+= sums[index] }
        folded = coarse
        return coarse
    }

    /// The tags of a bucket.
    public func tags(inBucket bucket: Int, bits: Int) -> [UInt64] {
        guard bits < GossipDigest.maximumBucketBits else { return buckets[bucket] }
        let width = 1 << (GossipDigest.maximumBucketBits - bits)
        var tags: [UInt64] = []
        for fine in (bucket * width)..<((bucket + 1) * width) where !buckets[fine].isEmpty { tags += buckets[fine] }
        return tags
    }

    public func record(tag: UInt64) -> SignedRecord? { all[tag] }

    // MARK: Places

    private func timeliness(of record: SignedRecord, _ time: Int64) -> Refusal? {
        if record.expires <= time { return .expired }
        // The issue is a time too: one far ahead could not be outdone by its own node for as long.
        let latest = time + limits.table.clockTolerance
        let isEarly = record.record.issued > latest || record.issue > UInt64(max(0, latest)) * 1_000
        return isEarly ? .early : nil
    }

    /// Places that are given up by network.
    private struct Places: Sendable {
        var tally = NetworkTally()
        var newest: [SourceKey: UInt64] = [:]
    }

    /// A record gets a place of that kind, as the newest of its source.
    private mutating func link(_ tag: UInt64, _ standing: Standing) {
        guard let source = notes[tag]?.source else { return }
        notes[tag]?.standing = standing
        guard standing != .settled else { return }
        let former = (standing == .met ? met : young).newest[source] ?? 0
        notes[tag]?.older = former
        notes[tag]?.newer = 0
        notes[former]?.newer = tag
        if standing == .met {
            met.newest[source] = tag
            met.tally.add(source)
        } else {
            young.newest[source] = tag
            young.tally.add(source)
        }
    }

    /// It has no place any more that could be given up.
    private mutating func unlink(_ tag: UInt64) {
        guard let note = notes[tag], note.standing != .settled else { return }
        notes[note.older]?.newer = note.newer
        notes[note.newer]?.older = note.older
        let newest = note.newer == 0 ? (note.older == 0 ? nil : note.older) : nil
        if note.standing == .met {
            if note.newer == 0 { met.newest[note.source] = newest }
            met.tally.remove(note.source)
        } else {
            if note.newer == 0 { young.newest[note.source] = newest }
            young.tally.remove(note.source)
        }
        notes[tag]?.older = 0
        notes[tag]?.newer = 0
        notes[tag]?.standing = .settled
    }

    private mutating func add(_ record: SignedRecord, _ source: SourceKey, _ standing: Standing, _ now: Instant) {
        let tag = record.tag
        all[tag] = record
        notes[tag] = Note(source: source, firstSeen: now, renewalsSince: now)
        link(tag, standing)
        let bucket = GossipDigest.bucket(of: tag, bits: GossipDigest.maximumBucketBits)
        count(GossipDigest.mark(tag: tag, issue: record.issue), in: bucket)
        buckets[bucket].append(tag)
        index(record)
        nextExpiry = min(nextExpiry, record.expires)
    }

    private mutating func replace(_ tag: UInt64, by record: SignedRecord, isNewSpan: Bool, _ now: Instant) {
        guard let former = all[tag] else { return }
        let bucket = GossipDigest.bucket(of: tag, bits: GossipDigest.maximumBucketBits)
        let mark = GossipDigest.mark(tag: tag, issue: former.issue)
        count(GossipDigest.mark(tag: tag, issue: record.issue) &- mark, in: bucket)
        let isMoved = former.record.addresses != record.record.addresses
        if isMoved { unindex(former) }
        all[tag] = record
        if isMoved { index(record) }
        nextExpiry = min(nextExpiry, record.expires)
        guard let note = notes[tag] else { return }
        notes[tag]?.renewals = isNewSpan ? 1 : note.renewals + 1
        if isNewSpan { notes[tag]?.renewalsSince = now }
        if note.standing == .young, now - note.firstSeen >= limits.table.settlesAfter { unlink(tag) }
    }

    private mutating func remove(tag: UInt64) {
        guard let record = all[tag] else { return }
        unindex(record)
        unlink(tag)
        all[tag] = nil
        notes[tag] = nil
        let bucket = GossipDigest.bucket(of: tag, bits: GossipDigest.maximumBucketBits)
        count(0 &- GossipDigest.mark(tag: tag, issue: record.issue), in: bucket)
        if let place = buckets[bucket].firstIndex(of: tag) {
            buckets[bucket].swapAt(place, buckets[bucket].count - 1)
            buckets[bucket].removeLast()
        }
    }

    private mutating func count(_ mark: UInt64, in bucket: Int) {
        sums[bucket] &+= mark
        guard let width = folded.map({ sums.count / $0.count }) else { return }
        folded?[bucket / width] &+= mark
    }

    private mutating func index(_ record: SignedRecord) {
        guard !record.record.addresses.isEmpty else { return }
        notes[record.tag]?.contact = Int32(contacts.count)
        contacts.append(record.tag)
        for address in record.record.addresses { hosts[address.host, default: 0] += 1 }
    }

    private mutating func unindex(_ record: SignedRecord) {
        guard let place = notes[record.tag]?.contact, place >= 0, let last = contacts.last else { return }
        contacts[Int(place)] = last
        notes[last]?.contact = place
        contacts.removeLast()
        notes[record.tag]?.contact = -1
        for address in record.record.addresses {
            guard let count = hosts[address.host] else { continue }
            hosts[address.host] = count > 1 ? count - 1 : nil
        }
    }
}
