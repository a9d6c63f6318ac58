public import PeerWire

/// The records of all nodes that this one knows of: the newest of each key, genuine and not expired.
///
/// Bounded, and a flood of made-up keys pushes nobody out: a newcomer that was heard of while the table is full takes
/// the place of the youngest that came from the most talkative source, and only where that source has brought more
/// than the newcomer's own. Nodes that were met, and records that were renewed for ten minutes, keep their places.
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

    /// What is kept beside a record.
    struct Note: Sendable {
        /// Where it was heard from first.
        var source: Network
        var firstSeen: Instant
        var isMet = false
        /// Renewed long after it came: keeps its place.
        var isSettled = false
        var renewals = 1
        var renewalsSince: Instant
        /// Its place in `contacts`, if it has addresses.
        var contact: Int?
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
    private(set) var contacts: [UInt64] = []
    /// Records for each host.
    private(set) var hosts: [HostAddress: Int] = [:]
    /// Tags that may have to go, the youngest last, by the network that brought them. May hold tags that have gone.
    private var young: [Network: [UInt64]] = [:]
    private var metCount: [Network: Int] = [:]
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
    public func isMet(_ key: NodeKey) -> Bool { notes[key.tag]?.isMet == true }

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
            let isNewSpan = now - note.renewalsSince >= limits.renewalSpan
            guard isNewSpan || note.renewals < limits.renewals else { return .refused(.tooOften) }
            guard isGenuine(record) else { return .refused(.forged) }
            replace(tag, by: record, isNewSpan: isNewSpan, now)
            return .renewed
        }
        if let refusal = timeliness(of: record, time) { return .refused(refusal) }
        var leaving: UInt64?
        if count >= limits.capacity - limits.reserved {
            leaving = displaceable(for: source)
            guard leaving != nil else { return .refused(.full) }
        }
        guard isGenuine(record) else { return .refused(.forged) }
        if let leaving { remove(tag: leaving) }
        add(record, source, now)
        young[source, default: []].append(tag)
        return .added
    }

    /// The node itself was talked to, from or at that network; its record, if it is not there yet, comes with it and
    /// may take a reserved place. `false` when its network has met this one often enough.
    @discardableResult
    public mutating func meet(_ key: NodeKey, at source: Network) -> Bool {
        guard all[key.tag]?.key == key, let note = notes[key.tag] else { return false }
        guard !note.isMet else { return true }
        guard metCount[source, default: 0] < limits.metPerSource else { return false }
        metCount[source, default: 0] += 1
        notes[key.tag]?.isMet = true
        notes[key.tag]?.source = source
        dropFromYoung(key.tag, note.source)
        return true
    }

    /// As `take` and `meet`, for the record of the node that is talking: it finds room where hearsay would not.
    public mutating func takeOwn(
        _ record: SignedRecord, from source: Network, time: Int64, at now: Instant, isGenuine: (SignedRecord) -> Bool
    ) -> Verdict {
        var verdict = take(record, from: source, time: time, at: now, isGenuine: isGenuine)
        if verdict == .refused(.full), metCount[source, default: 0] < limits.metPerSource {
            let leaving = count < limits.capacity ? nil : displaceable(for: nil)
            guard count < limits.capacity || leaving != nil else { return verdict }
            guard isGenuine(record) else { return .refused(.forged) }
            if let leaving { remove(tag: leaving) }
            add(record, source, now)
            verdict = .added
        }
        meet(record.key, at: source)
        return verdict
    }

    /// Drops what has expired, and says what that was.
    public mutating func removeExpired(time: Int64) -> [NodeKey] {
        guard time >= nextExpiry else { return [] }
        let gone = all.values.filter { $0.expires <= time }.map(\.key)
        for key in gone { remove(tag: key.tag) }
        nextExpiry = all.values.map(\.expires).min() ?? .max
        for (source, tags) in young {
            let left = tags.filter { notes[$0] != nil }
            young[source] = left.isEmpty ? nil : left
        }
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
        let latest = time + limits.clockTolerance
        let isEarly = record.record.issued > latest || record.issue > UInt64(max(0, latest)) * 1_000
        return isEarly ? .early : nil
    }

    /// The youngest of the source that brought most, unless the newcomer's own has brought as much (`nil`: a node that
    /// was met, which goes before all hearsay).
    private mutating func displaceable(for source: Network?) -> UInt64? {
        while let (largest, tags) = young.max(by: { $0.value.count < $1.value.count }) {
            if let source, tags.count <= young[source, default: []].count + 1 { return nil }
            guard let last = tags.last else { return nil }
            if let note = notes[last], !note.isMet, !note.isSettled, note.source == largest { return last }
            dropFromYoung(last, largest)
        }
        return nil
    }

    private mutating func dropFromYoung(_ tag: UInt64, _ source: Network) {
        guard let place = young[source]?.lastIndex(of: tag) else { return }
        young[source]?.remove(at: place)
        if young[source]?.isEmpty == true { young[source] = nil }
    }

    private mutating func add(_ record: SignedRecord, _ source: Network, _ now: Instant) {
        let tag = record.tag
        all[tag] = record
        notes[tag] = Note(source: source, firstSeen: now, renewalsSince: now)
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
        guard var note = notes[tag] else { return }
        note.renewals = isNewSpan ? 1 : note.renewals + 1
        if isNewSpan { note.renewalsSince = now }
        if !note.isSettled, now - note.firstSeen >= limits.settlesAfter {
            note.isSettled = true
            dropFromYoung(tag, note.source)
        }
        notes[tag] = note
    }

    private mutating func remove(tag: UInt64) {
        guard let record = all[tag], let note = notes[tag] else { return }
        unindex(record)
        all[tag] = nil
        notes[tag] = nil
        let bucket = GossipDigest.bucket(of: tag, bits: GossipDigest.maximumBucketBits)
        count(0 &- GossipDigest.mark(tag: tag, issue: record.issue), in: bucket)
        if let place = buckets[bucket].firstIndex(of: tag) {
            buckets[bucket].swapAt(place, buckets[bucket].count - 1)
            buckets[bucket].removeLast()
        }
        if note.isMet, let met = metCount[note.source] { metCount[note.source] = met > 1 ? met - 1 : nil }
        if !note.isMet, !note.isSettled, young[note.source]?.last == tag { dropFromYoung(tag, note.source) }
    }

    private mutating func count(_ mark: UInt64, in bucket: Int) {
        sums[bucket] &+= mark
        guard let width = folded.map({ sums.count / $0.count }) else { return }
        folded?[bucket / width] &+= mark
    }

    private mutating func index(_ record: SignedRecord) {
        guard !record.record.addresses.isEmpty else { return }
        notes[record.tag]?.contact = contacts.count
        contacts.append(record.tag)
        for address in record.record.addresses { hosts[address.host, default: 0] += 1 }
    }

    private mutating func unindex(_ record: SignedRecord) {
        guard let place = notes[record.tag]?.contact, let last = contacts.last else { return }
        contacts[place] = last
        notes[last]?.contact = place
        contacts.removeLast()
        notes[record.tag]?.contact = nil
        for address in record.record.addresses {
            guard let count = hosts[address.host] else { continue }
            hosts[address.host] = count > 1 ? count - 1 : nil
        }
    }
}
