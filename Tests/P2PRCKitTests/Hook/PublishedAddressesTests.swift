import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import P2PRCKit
@testable import PeerServices

@Suite struct PublishedAddressesTests {
    static func mapping(
        _ host: String?, _ port: UInt16, _ states: [PeerPortAgreement.Standing], id: UInt64 = 1,
        at relay: String = "relay",
        local: UInt16 = 80
    ) -> ExposedMapping {
        let wish = MappingWish(
            id: MappingID(value: id), target: .service(host: "127.0.0.1", port: local), protocols: .tcp,
            ports: .any(count: max(1, states.count)))
        return ExposedMapping(
            wish: wish, targetText: "127.0.0.1:\(local)", relay: Endpoint(host: relay, port: 8_088), relayName: relay,
            state: states.first?.state ?? .offline, reason: nil, standings: states, refusal: nil, host: host,
            ports: PortRange(first: port, count: max(1, states.count)), receipt: nil, isPlain: nil, failures: 0,
            traffic: TrafficCounters())
    }

    static let works = PeerPortAgreement.Standing(state: .verified)

    static func published(
        _ mappings: [ExposedMapping], of wishes: Set<UInt64>? = nil,
        at relays: Set<String> = ["relay:8088", "other:8088"], after last: PublishedAddresses = PublishedAddresses()
    ) -> PublishedAddresses {
        let wishes = wishes.map { Set($0.map { MappingID(value: $0) }) } ?? Set(mappings.map(\.wish.id))
        return PublishedAddresses(mappings, of: wishes, at: relays, after: last)
    }

    @Test func `of two services on one number the one that answers is there`() {
        var both = Self.mapping("b.example", 30_000, [Self.works])
        both.wish.protocols = [.tcp, .udp]
        both.services.udp.silent = [0: "nothing takes datagrams there"]
        #expect(Self.published([both]).rows.map(\.transport) == ["TCP"])
        both.services.udp = .answering(1)
        let all = Self.published([both])
        #expect(all.rows.map(\.transport) == ["TCP", "UDP"])
        // One that was there and rests for a while stays.
        both.services.tcp.silent = [0: "127.0.0.1:80 does not answer"]
        #expect(Self.published([both], after: all).rows == all.rows)
    }

    @Test func `what works is there, in its order, and each host once`() {
        let all = Self.published([
            Self.mapping("b.example", 30_000, [Self.works]),
            Self.mapping("b.example", 30_005, [Self.works, .init(state: .unreachable), Self.works], id: 2, local: 81),
            Self.mapping("a.example", 30_000, [.init(state: .active, isWorking: true)], at: "other"),
        ])
        #expect(all.hosts == ["b.example", "a.example"])
        #expect(all.environment["P2PRC_HOST"] == "b.example")
        #expect(all.environment["P2PRC_HOSTS"] == "b.example a.example")
        #expect(
            all.environment["P2PRC_ADDRESSES"] == "b.example:30000 b.example:30005 b.example:30007 a.example:30000")
        #expect(
            all.environment["P2PRC_MAPPINGS"] == """
                127.0.0.1:80 TCP b.example:30000
                127.0.0.1:81 TCP b.example:30005
                127.0.0.1:83 TCP b.example:30007
                127.0.0.1:80 TCP a.example:30000
                """)
    }

    @Test(arguments: [
        mapping("a.example", 1, []), mapping("a.example", 1, [.init(state: .unreachable)]), mapping(nil, 1, [works]),
        mapping("a.example", 1, [.init(state: .active)]), mapping("a.example", 1, [.init(state: .targetDown)]),
        mapping("a.example", 1, [works], at: "spare"), mapping("$(reboot)", 1, [works]),
        mapping("a;reboot", 1, [works]), mapping("a b", 1, [works]), mapping("`id`", 1, [works]),
        mapping("é.example", 1, [works]),
    ])
    func `what was never seen to work, and what is no plain host is not`(mapping: ExposedMapping) {
        let all = Self.published([mapping])
        #expect(all.rows.isEmpty)
        #expect(
            all.environment == [
                "P2PRC_HOST": "", "P2PRC_HOSTS": "", "P2PRC_ADDRESSES": "", "P2PRC_MAPPINGS": "",
            ])
    }

    static let both = published([
        mapping("a.example", 1, [works]), mapping("b.example", 1, [works], at: "other"),
    ])

    @Test func `what is gone is told from what is gone altogether`() {
        let one = Self.published([Self.mapping("a.example", 1, [Self.works])])
        let other = Self.published([Self.mapping("b.example", 1, [Self.works], at: "other")])
        #expect(Self.both.loss(in: Self.both) == .nothing && one.loss(in: Self.both) == .nothing)
        #expect(Self.both.loss(in: one) == .some)
        #expect(one.loss(in: other) == .all && Self.both.loss(in: PublishedAddresses()) == .all)
        #expect(PublishedAddresses().loss(in: one) == .nothing)
        // Of one mapping all, though another one has what it had.
        let more = Self.mapping("a.example", 9, [Self.works], id: 2)
        let (former, later) = (
            Self.published([Self.mapping("a.example", 1, [Self.works]), more]),
            Self.published([Self.mapping("b.example", 1, [Self.works], at: "other"), more])
        )
        #expect(former.loss(in: later) == .all)
    }

    @Test(arguments: [MappingState.active, .targetDown])
    func `what worked stays while its service rests or it is looked at again`(state: MappingState) {
        let all = Self.published(
            [
                Self.mapping("a.example", 1, [.init(state: state)]),
                Self.mapping("b.example", 1, [Self.works], at: "other"),
            ], after: Self.both)
        #expect(all == Self.both)
    }

    @Test func `what fails goes where something else works, and stays where nothing does`() {
        let one = Self.published(
            [
                Self.mapping("a.example", 1, [.init(state: .unreachable)]),
                Self.mapping("b.example", 1, [Self.works], at: "other"),
            ], after: Self.both)
        #expect(one.hosts == ["b.example"])
        let none = Self.published(
            [Self.mapping("a.example", 1, []), Self.mapping("b.example", 1, [], at: "other")], after: Self.both)
        #expect(none == Self.both)
        // Silent relays are not among those that visitors are sent to.
        #expect(Self.published([Self.mapping("a.example", 1, [])], at: [], after: Self.both) == Self.both)
        // Another mapping that works is no reason to forget this one.
        let other = Self.published(
            [
                Self.mapping("c.example", 9, [Self.works], id: 2, local: 81), Self.mapping("a.example", 1, []),
            ], after: Self.both)
        #expect(other.hosts == ["c.example", "a.example", "b.example"])
        #expect(Self.published([Self.mapping("c.example", 9, [Self.works])], after: none).hosts == ["c.example"])
    }

    @Test func `what is not exposed any more goes, and so does what was at a relay that the user gave up`() {
        #expect(Self.published([], of: [], after: Self.both).rows.isEmpty)
        // Relays that this node chose are gone altogether when they are lost; the mapping is not.
        #expect(Self.published([], of: [1], after: Self.both) == Self.both)
        var left = Self.both
        left.forget(Endpoint(host: "relay", port: 8_088))
        #expect(left.hosts == ["b.example"])
        left.forget(Endpoint(host: "other", port: 8_088))
        #expect(Self.published([], of: [1], after: left).rows.isEmpty)
    }

    @Test func `texts are never longer than the system takes`() {
        let host = String(repeating: "h", count: 250)
        let all = Self.published((1...2_000).map { Self.mapping("\(host)\($0)", UInt16($0), [Self.works]) })
        #expect(all.rows.count == 2_000)
        for (name, text) in all.environment {
            #expect(text.utf8.count <= 65_600, "\(name)")
            #expect(!text.isEmpty && !text.hasSuffix(" "))
        }
    }
}
