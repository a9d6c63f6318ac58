internal import PeerWire

/// Taking records in.
extension Gossip {
    // MARK: Taking records in

    /// Where the own record, and what was kept over a restart, counts as coming from.
    static let here = SourceGate.source(
        of: HostAddress(VisitorAddress(isIPv6: false, host: [127, 0, 0, 1], port: 0)))

    /// - Returns: whether none of them was forged: no honest node passes on what it has not judged, so the first one
    ///   ends it.
    mutating func take(
        _ records: [SignedRecord], from caller: Caller, _ judged: [SignedRecord: Bool], _ time: Int64, _ now: Instant
    ) -> Bool {
        let source = SourceGate.source(of: caller.host)
        for record in records {
            let verdict = take(
                record, from: source, time, now, isCallers: record.key == caller.key, isGenuine: judged[record])
            if verdict == .refused(.forged) { return false }
        }
        return true
    }

    /// Everything that speaks against a record is looked at but its signature.
    mutating func unjudged(
        _ records: [SignedRecord], from caller: Caller, _ time: Int64, _ now: Instant
    ) -> [SignedRecord] {
        let source = SourceGate.source(of: caller.host)
        var unjudged: [SignedRecord] = []
        for record in records where record.key != own {
            // What is not genuine changes nothing.
            let isGenuine: (SignedRecord) -> Bool = { record in
                if unjudged.last != record { unjudged.append(record) }
                return false
            }
            _ =
                record.key == caller.key
                ? table.takeOwn(record, from: source, time: time, at: now, isGenuine: isGenuine)
                : table.take(record, from: source, time: time, at: now, isGenuine: isGenuine)
        }
        return unjudged
    }

    mutating func meet(_ caller: Caller) {
        table.meet(caller.key, at: SourceGate.source(of: caller.host))
        noteDisplaced()
    }

    private mutating func noteDisplaced() {
        for key in table.takeDisplaced() where changes.count < limits.table.capacity { changes.append(.removed(key)) }
    }

    mutating func take(
        _ record: SignedRecord, from source: Network, _ time: Int64, _ now: Instant, isCallers: Bool = false,
        isGenuine known: Bool? = nil
    ) -> RecordTable.Verdict {
        if record.key == own { return takeOwnFromOthers(record) }
        var judged = 0
        let judge: (SignedRecord) -> Bool = { [isGenuine] record in
            judged += 1
            return known ?? isGenuine(record)
        }
        let verdict =
            isCallers
            ? table.takeOwn(record, from: source, time: time, at: now, isGenuine: judge)
            : table.take(record, from: source, time: time, at: now, isGenuine: judge)
        counts.judged += judged
        noteDisplaced()
        switch verdict {
        case .added, .renewed:
            counts.accepted += 1
            if verdict == .renewed, let (source, renewals) = table.renewals(of: record.tag) {
                news.add(record.tag, from: source, renewals: renewals)
            }
            // Bounded by what a round takes in, as long as somebody takes the changes.
            if changes.count < limits.table.capacity { changes.append(.stored(record)) }
        case .known: break
        case .refused(let refusal): counts.refused[refusal, default: 0] += 1
        }
        return verdict
    }

    /// Others have a record of the own key that is newer than the own one: of a former process whose number was lost,
    /// or of a second process with this key.
    private mutating func takeOwnFromOthers(_ record: SignedRecord) -> RecordTable.Verdict {
        guard record.issue > ownRecord?.issue ?? 0, record.issue > foreignOwn?.issue ?? 0 else { return .known }
        counts.judged += 1
        guard isGenuine(record) else {
            counts.refused[.forged, default: 0] += 1
            return .refused(.forged)
        }
        foreignOwn = record
        return .known
    }
}
