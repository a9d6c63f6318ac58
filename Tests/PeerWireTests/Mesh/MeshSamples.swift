import PeerWire

extension Samples {
    static let address = NodeAddress(host: HostAddress("198.51.100.7")!, port: 8_088)!
    static let address6 = NodeAddress(host: HostAddress("2001:db8::7")!, port: 8_088)!
    static let statement = DialBackStatement(subject: relay.key, time: 1_800_000_100, address: address, by: peer)

    static let record = NodeRecord(
        key: relay.key, issue: 1_800_000_000_123, process: .init(began: 1_800_000_000_000, instance: 77),
        issued: 1_800_000_000, lifetime: 3_600,
        content: .init(
            roles: .relay, name: "büro-1", software: "p2prc 1.0", addresses: [address, address6],
            mappings: [
                .init(
                    name: "web", protocols: .tcp, host: "relay.example.org",
                    ports: PortRange(first: 40_000, last: 40_009)!)
            ], witnesses: [statement]))
    static let plainRecord = NodeRecord(
        key: peer.key, issue: 5, process: .init(began: 5, instance: 1), issued: 1_800_000_000, lifetime: 60)

    static let notedRecord = NodeRecord(
        key: peer.key, issue: 6, process: .init(began: 5, instance: 1), issued: 1_800_000_000, lifetime: 60,
        content: .init(note: "Küche, 2. Stock; frag Ida"))

    static let signedNotedRecord = try! SignedRecord(notedRecord, by: peer)
    static let signedRecord = try! SignedRecord(record, by: relay)
    static let signedPlainRecord = try! SignedRecord(plainRecord, by: peer)

    static let digest = GossipDigest(time: 1_800_000_000, records: 3, sums: [1, 2, 3, 0xffff_ffff_ffff_ffff])!
    static let difference = GossipDifference(
        time: 1_800_000_000, room: 8_192,
        lists: [
            .init(bits: 2, bucket: 3, isWhole: true, entries: [.init(tag: 7, issue: 8)]),
            .init(bits: 2, bucket: 0, isWhole: false, entries: []),
        ], wants: [9], records: [signedPlainRecord])

    static let vouch = Vouch(statement)

    static let dialBackRequest = DialBackRequest(nonce: nonce, port: 8_088)
    static let dialBackAnswers: [(name: String, answer: DialBackAnswer)] = [
        ("dial-back-reached", DialBackAnswer(observed: address, statement: statement)),
        ("dial-back-not-reached", DialBackAnswer(.notReached, observed: address6)!),
    ]
}

/// What people read beside the bytes.
func described(_ record: NodeRecord) -> [String: String] {
    let note = record.note.isEmpty ? [:] : ["note": record.note]
    return [
        "key": "\(record.key)", "issue": "\(record.issue)", "firstIssue": "\(record.process.began)",
        "instance": "\(record.process.instance)", "issued": "\(record.issued)", "lifetime": "\(record.lifetime)",
        "roles": "\(record.roles.rawValue)", "name": record.name, "software": record.software,
        "addresses": record.addresses.map(\.description).joined(separator: " "),
        "mappings": record.mappings.map { "\($0.name) \($0.protocols.rawValue) \($0.host) \($0.ports)" }
            .joined(separator: ", "),
        "witnesses": record.witnesses.map { "\($0.witness) \($0.time) \($0.address)" }.joined(separator: ", "),
    ].merging(note) { old, _ in old }
}

func described(_ digest: GossipDigest) -> [String: String] {
    [
        "time": "\(digest.time)", "records": "\(digest.records)",
        "sums": digest.sums.map(\.description).joined(separator: " "),
    ]
}

func described(_ difference: GossipDifference) -> [String: String] {
    [
        "time": "\(difference.time)", "room": "\(difference.room)",
        "lists": difference.lists.map { list in
            "\(list.bucket)/\(list.bits) \(list.isWhole ? "whole" : "part")"
                + list.entries.map { " \($0.tag):\($0.issue)" }.joined()
        }.joined(separator: ", "),
        "wants": difference.wants.map(\.description).joined(separator: " "),
        "records": difference.records.map(\.description).joined(separator: ", "),
    ]
}

func described(_ answer: DialBackAnswer) -> [String: String] {
    [
        "outcome": "\(answer.outcome) (\(answer.outcome.rawValue))", "observed": "\(answer.observed)",
        "statement": answer.statement.map { "\($0.witness) \($0.time) \($0.address)" } ?? "",
    ]
}
