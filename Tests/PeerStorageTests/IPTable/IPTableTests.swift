import PeerCore
import PeerStorage
import PeerWire
import Testing

@Suite struct IPTableTests {
    let folder: TestFolder
    let home: Home
    let table: IPTable

    init() throws {
        folder = TestFolder()
        home = try folder.home()
        let (table, warnings) = try IPTable.open(in: home, now: .someday)
        self.table = table
        #expect(warnings == [])
    }

    func node(_ number: UInt8, name: String = "n", seen: ClosedRange<Int64> = 0...0) -> KnownNode {
        KnownNode(
            key: .number(number), name: name, address: "203.0.113.\(number):8088", role: .relay,
            firstSeen: .someday + seen.lowerBound, lastSeen: .someday + seen.upperBound)
    }

    func sample(_ number: UInt8, at milliseconds: Int64, microseconds: UInt64 = 100) -> LatencySample {
        LatencySample(node: .number(number), at: .someday + milliseconds, roundTrip: .microseconds(microseconds))
    }

    @Test func `nodes come back as they were saved, the one seen last first`() async throws {
        let (old, new) = (node(1, seen: 0...5), node(2, name: "'; DROP TABLE node; -- ü", seen: 1...9))
        try await table.save(old)
        try await table.save(new)
        #expect(try await table.nodes() == [new, old])
        #expect(try await table.node(.number(1)) == old)
        #expect(try await table.node(.number(3)) == nil)
    }

    @Test func `a node that is saved again keeps when it was first and last seen`() async throws {
        try await table.save(node(1, name: "before", seen: 10...20))
        var after = node(1, name: "after", seen: 15...18)
        after.role = .peer
        after.address = "[2001:db8::1]:9"
        try await table.save(after)
        after.firstSeen = .someday + 10
        after.lastSeen = .someday + 20
        #expect(try await table.nodes() == [after])
    }

    @Test func `a removed node takes its samples along`() async throws {
        try await table.save(node(1))
        try await table.record([sample(1, at: 0), sample(2, at: 0)])
        try await table.removeNode(.number(1))
        try await table.removeNode(.number(9))
        #expect(try await table.nodes() == [])
        #expect(try await table.latestLatencies().keys.map(\.self) == [.number(2)])
    }

    @Test func `the latest latency of each node is the newest, not the last to come in`() async throws {
        #expect(try await table.latestLatencies() == [:])
        try await table.record(sample(1, at: 30, microseconds: 3))
        try await table.record(sample(1, at: 10, microseconds: 1))
        try await table.record(sample(2, at: 20, microseconds: 2))
        #expect(
            try await table.latestLatencies() == [
                .number(1): sample(1, at: 30, microseconds: 3), .number(2): sample(2, at: 20, microseconds: 2),
            ])
        #expect(
            try await table.samples(since: .someday + 20) == [
                sample(2, at: 20, microseconds: 2), sample(1, at: 30, microseconds: 3),
            ])
    }

    @Test func `a round trip is kept to the microsecond`() async throws {
        try await table.record(
            LatencySample(node: .number(1), at: .someday, roundTrip: Instant.Span(nanoseconds: 1_999)))
        #expect(try await table.samples(since: .someday).map(\.roundTrip) == [.microseconds(1)])
    }

    @Test func `an endless round trip ends no process`() async throws {
        try await table.record(
            LatencySample(node: .number(1), at: .someday, roundTrip: Instant.Span(nanoseconds: .max)))
        #expect(try await table.latestLatencies().count == 1)
    }

    @Test func `samples before a moment are pruned on request`() async throws {
        try await table.record([sample(1, at: 0), sample(1, at: 1), sample(2, at: 2)])
        #expect(try await table.prune(before: .someday + 2) == 2)
        #expect(try await table.samples(since: .someday) == [sample(2, at: 2)])
        #expect(try await table.prune(before: .someday) == 0)
    }

    @Test func `no node keeps more samples than the limit, and the newest stay`() async throws {
        let limit = IPTable.samplesPerNode
        try await table.record((0..<(limit + 40)).map { sample(1, at: Int64($0)) } + [sample(2, at: 0)])
        let kept = try await table.samples(since: .someday)
        #expect(kept.count(where: { $0.node == .number(1) }) == limit)
        #expect(kept.count(where: { $0.node == .number(2) }) == 1)
        #expect(try await table.samples(since: .someday + 40).count == limit)
    }

    @Test func `samples of more than a day ago go away by and by`() async throws {
        try await table.record(sample(1, at: 0))
        for number in 0..<Int64(IPTable.samplesPerNode / 4) {
            try await table.record(sample(2, at: IPTable.sampleLifetime + 1 + number))
        }
        #expect(try await table.samples(since: .someday).allSatisfy { $0.node == .number(2) })
    }

    func lease(
        _ key: UInt8, _ mapping: UInt64, _ first: UInt16, count: Int = 1, account: Grant.Membership? = nil
    ) -> Lease {
        var lease = Lease(
            key: .number(key), mapping: MappingID(value: mapping), ports: PortRange(first: first, count: count)!,
            protocols: [.tcp, .udp], peerName: "laptop", target: "127.0.0.1:8080", expires: .someday)
        lease.account = account
        return lease
    }

    @Test func `leases come back as they were saved`() async throws {
        let leases = [
            lease(2, 7, 1), lease(1, .max, 20_000, count: 5, account: .mesh(network: "203.0.113.0/24")),
            lease(1, 0, 65_535, account: .token(id: "'; a b")),
        ]
        for lease in leases.reversed() { try await table.save(lease) }
        #expect(try await table.leases() == leases)

        var moved = leases[0]
        moved.ports = PortRange(first: 2, count: 2)!
        moved.expires = .someday + 60
        try await table.save(moved)
        #expect(try await table.leases().first == moved)

        try await table.removeLease(of: .number(1), mapping: MappingID(value: 0))
        try await table.removeLease(of: .number(2), mapping: MappingID(value: 0))
        #expect(try await table.leases() == [moved, leases[1]])
    }

    @Test func `all leases can be replaced at once`() async throws {
        try await table.save(lease(1, 1, 1))
        try await table.replaceLeases(with: [lease(2, 2, 2), lease(3, 3, 3)])
        #expect(try await table.leases() == [lease(2, 2, 2), lease(3, 3, 3)])
        try await table.replaceLeases(with: [])
        #expect(try await table.leases() == [])
    }

    static func networks(_ texts: String...) -> [Network] { texts.map { try! Network($0) } }

    private static let kitchen = {
        var wish = MappingWish(
            id: MappingID(value: 1), target: .service(host: "127.0.0.1", port: 8_080), protocols: .udp,
            ports: .exactly(PortRange(first: 53, last: 53)!), name: "kitchen")
        wish.announcedAs = "Küche"
        wish.proxyProtocol = .v2
        return wish
    }()

    static let wishes = [
        MappingWish(id: MappingID(value: 9), target: .serverPort, protocols: .tcp, ports: .any(count: 1)),
        kitchen,
        MappingWish(
            id: MappingID(value: .max), target: .service(host: "fe80::1%eth0", port: 65_535), protocols: [.tcp, .udp],
            ports: .preferably(PortRange(first: 20_000, count: 10)!)),
        MappingWish(
            id: MappingID(value: 2), target: .service(host: "nas", port: 0), protocols: .tcp,
            ports: .any(count: 65_535), allow: networks("10.0.0.0/8", "2001:db8::/32"), deny: networks("10.1.2.3")),
    ]

    @Test func `wishes of every kind come back in the order in which they were made`() async throws {
        for wish in Self.wishes { try await table.save(wish) }
        #expect(try await table.wishes() == Self.wishes)
        try await table.removeWish(MappingID(value: 1))
        try await table.removeWish(MappingID(value: 77))
        #expect(try await table.wishes() == [Self.wishes[0], Self.wishes[2], Self.wishes[3]])
    }

    @Test func `a wish that is saved again replaces itself and keeps its place`() async throws {
        for wish in Self.wishes { try await table.save(wish) }
        var changed = Self.wishes[0]
        changed.target = .service(host: "10.0.0.1", port: 1)
        changed.deny = Self.networks("0.0.0.0/0", "::/0")
        changed.announcedAs = "web"
        changed.proxyProtocol = .v1
        changed.name = "web"
        try await table.save(changed)
        #expect(try await table.wishes() == [changed] + Self.wishes.dropFirst())
    }

    @Test(arguments: [0, -1, 65_536]) func `a wish for no ports or too many is refused`(count: Int) async throws {
        let wish = MappingWish(id: MappingID(value: 1), target: .serverPort, protocols: .tcp, ports: .any(count: count))
        let error = await #expect(throws: StorageError.self) { try await table.save(wish) }
        #expect(error?.kind == .invalid)
        #expect(try await table.wishes() == [])
    }

    @Test func `an agreed port is remembered for each relay, and forgotten with its wish`() async throws {
        func agreed(_ mapping: UInt64, _ relay: String, _ first: UInt16) -> AgreedPorts {
            AgreedPorts(
                mapping: MappingID(value: mapping), relay: relay, ports: PortRange(first: first, count: 3)!)
        }
        try await table.save(agreed(1, "a:1", 100))
        try await table.save(agreed(1, "b:1", 200))
        try await table.save(agreed(2, "a:1", 300))
        try await table.save(agreed(1, "a:1", 65_533))
        // What was saved last comes last.
        let all = [agreed(1, "b:1", 200), agreed(2, "a:1", 300), agreed(1, "a:1", 65_533)]
        #expect(try await table.agreedPorts() == all)
        try await table.removeAgreedPorts(of: MappingID(value: 1), relay: "b:1")
        #expect(try await table.agreedPorts() == [agreed(2, "a:1", 300), agreed(1, "a:1", 65_533)])
        try await table.removeWish(MappingID(value: 1))
        #expect(try await table.agreedPorts() == [agreed(2, "a:1", 300)])
    }

    @Test func `joined relays keep the spelling, the order and the first time`() async throws {
        let first = JoinedRelay(address: "Relay.Example", added: .someday + 1)
        let second = JoinedRelay(address: "auto", added: .someday + 2)
        try await table.save(second)
        try await table.save(first)
        try await table.save(JoinedRelay(address: "auto", added: .someday + 9))
        #expect(try await table.joinedRelays() == [first, second])
        try await table.removeJoinedRelay("Relay.Example")
        try await table.removeJoinedRelay("none")
        #expect(try await table.joinedRelays() == [second])
    }

    @Test func `many tasks may use the table at once`() async throws {
        try await withThrowingTaskGroup { group in
            for number in 1...50 as ClosedRange<UInt8> {
                group.addTask {
                    try await table.save(node(number))
                    try await table.record(sample(number, at: 0))
                    _ = try await table.nodes()
                }
            }
            try await group.waitForAll()
        }
        #expect(try await table.nodes().count == 50)
        #expect(try await table.latestLatencies().count == 50)
    }

    @Test func `what a cancelled task saves is saved`() async throws {
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await table.save(node(1))
        }
        try await task.value
        #expect(try await table.nodes() == [node(1)])
    }
}
