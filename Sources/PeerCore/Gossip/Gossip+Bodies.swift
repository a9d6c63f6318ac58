internal import PeerWire

/// What is in the bodies of an exchange, and within which bounds.
extension Gossip {
    mutating func digest(_ time: Int64) -> GossipDigest? {
        GossipDigest(
            time: time, records: UInt32(clamping: table.count), sums: table.digestSums(bits: table.digestBits))
    }

    /// What this node has in the buckets that differ, and in one that is drawn: sums can be made alike on purpose.
    ///
    /// Tables that somebody fills differ in more buckets than an answer has room for. So the caller's own bucket comes
    /// first, for nobody else can tell its news yet, and then those with records that were renewed lately. Who knows
    /// few is told first of nodes that have answered this one: what it finds among thousands of rows may all be made
    /// up.
    mutating func lists(for digest: GossipDigest, from caller: NodeKey, time: Int64) -> GossipDifference {
        let bits = digest.bucketBits
        let sums = table.digestSums(bits: bits)
        let drawn = Int(random.next() % UInt64(sums.count))
        var differing = sums.indices.filter { sums[$0] != digest.sums[$0] || $0 == drawn }
        // From anywhere on, so that what finds no room today comes first some other time.
        if !differing.isEmpty { differing.rotate(by: Int(random.next() % UInt64(differing.count))) }
        let isMore = differing.count * table.count > limits.listedEntries * sums.count
        let first = isMore ? worthTelling(digest, caller) : []
        if !first.isEmpty {
            var seen: Set<Int> = []
            let ahead = first.map { GossipDigest.bucket(of: $0, bits: bits) }
                .filter { sums[$0] != digest.sums[$0] && seen.insert($0).inserted }.prefix(limits.listedEntries / 16)
            differing = ahead + differing.filter { !ahead.contains($0) }
        }
        var answer = GossipDifference(time: time, room: UInt32(limits.recordBytes))
        var room = limits.listedEntries
        for bucket in differing {
            var tags = table.tags(inBucket: bucket, bits: bits)
            let isWhole = tags.count <= room
            if !isWhole {
                guard answer.lists.isEmpty || room > 16 else { break }
                tags.rotate(by: Int(random.next() % UInt64(tags.count)))
                var listed: Set<UInt64> = []
                let ahead = first.filter { GossipDigest.bucket(of: $0, bits: bits) == bucket }
                tags = Array((ahead + tags).filter { listed.insert($0).inserted }.prefix(room))
            }
            room -= tags.count
            var entries: [GossipDifference.Entry] = []
            entries.reserveCapacity(tags.count)
            for tag in tags {
                guard let issue = table.record(tag: tag)?.issue else { continue }
                entries.append(.init(tag: tag, issue: issue))
            }
            answer.lists.append(
                .init(bits: UInt8(bits), bucket: UInt16(bucket), isWhole: isWhole, entries: entries))
        }
        return answer
    }

    /// Tags of records that come first where not all can be listed.
    private mutating func worthTelling(_ digest: GossipDigest, _ caller: NodeKey) -> [UInt64] {
        // Who asks has met this node, and its word counts once its record is there.
        let knowsFew = Int(digest.records) * 2 < table.count
        let contacts = knowsFew ? book.provenKeys.shuffled(using: &random).prefix(limits.contactsForNewcomers) : []
        // The caller's own comes even where its record is not here: only a whole bucket tells it that.
        return [caller.tag] + ([own.tag] + contacts.map(\.tag) + news.tags).filter { table.record(tag: $0) != nil }
    }

    /// The asker's second step: what is newer here goes, what is newer there is wanted.
    mutating func reply(to difference: GossipDifference, time: Int64) -> GossipDifference {
        // News of nodes that both know go before nodes that one of them lacks: rows are made up more easily than news.
        var wants: [UInt64] = []
        var lacking: [UInt64] = []
        var newer: [UInt64] = []
        var unknown: [UInt64] = []
        var seen: Set<UInt16> = []
        for list in difference.lists {
            // Of one division, each bucket once: so the table is gone through once at most.
            guard list.bits == difference.lists.first?.bits, seen.insert(list.bucket).inserted else { continue }
            var common = 0
            for entry in list.entries {
                guard let issue = table.record(tag: entry.tag)?.issue else {
                    lacking.append(entry.tag)
                    continue
                }
                common += 1
                if entry.issue > issue { wants.append(entry.tag) }
                if entry.issue < issue { newer.append(entry.tag) }
            }
            guard list.isWhole else {
                // Whether the own record is there is not said. Who is new has few rows, so its lists are cut short
                // until it has hundreds: nobody would know it meanwhile.
                if own.tag.isIn(list), !list.entries.contains(where: { $0.tag == own.tag }) { newer.append(own.tag) }
                continue
            }
            let here = table.tags(inBucket: Int(list.bucket), bits: Int(list.bits))
            // Mostly nothing is missing there.
            guard here.count > common else { continue }
            let listed = Set(list.entries.map(\.tag))
            unknown += here.filter { !listed.contains($0) }
        }
        // Much at once only in a round that has no other partner: three at a time would be three times as much.
        let isAlone = isCatchingUp && exchanges.count == 1
        isCatchingUp = wants.count + lacking.count > limits.muchMissing
        wants = Array((wants + lacking).prefix(GossipDifference.maximumWants))
        newer.rotate(by: newer.isEmpty ? 0 : Int(random.next() % UInt64(newer.count)))
        unknown.rotate(by: unknown.isEmpty ? 0 : Int(random.next() % UInt64(unknown.count)))
        newer += unknown
        // News about oneself goes first: nobody else can tell it yet.
        if let place = newer.firstIndex(of: own.tag) { newer.swapAt(0, place) }
        let room = min(Int(difference.room), limits.recordBytes)
        return GossipDifference(
            time: time, room: UInt32(isCatchingUp && isAlone ? limits.catchUpBytes : limits.recordBytes), wants: wants,
            records: fitting(newer, room, time))
    }

    /// The answer to wants.
    mutating func records(for difference: GossipDifference, time: Int64) -> GossipDifference {
        let room = min(Int(difference.room), limits.catchUpBytes)
        return GossipDifference(time: time, room: 0, records: fitting(difference.wants, room, time))
    }

    /// Records with these tags, in that order, as many as fit into so many bytes; never one that has expired.
    private func fitting(_ tags: [UInt64], _ room: Int, _ time: Int64) -> [SignedRecord] {
        var room = room
        var records: [SignedRecord] = []
        for tag in tags {
            guard let record = table.record(tag: tag), record.expires > time else { continue }
            room -= record.bytes.count + 2
            guard room >= 0, records.count < GossipDifference.maximumRecords else { break }
            records.append(record)
        }
        return records
    }
}

extension UInt64 {
    /// Whether a record with this tag would be in that bucket.
    fileprivate func isIn(_ list: GossipDifference.List) -> Bool {
        GossipDigest.bucket(of: self, bits: Int(list.bits)) == Int(list.bucket)
    }
}

extension Array {
    /// Moves the first `count` elements behind the others.
    fileprivate mutating func rotate(by count: Int) {
        guard count > 0, count < self.count else { return }
        self = Array(self[count...] + self[..<count])
    }
}
