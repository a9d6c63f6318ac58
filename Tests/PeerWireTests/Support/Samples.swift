import FuzzParsers
import PeerWire

/// One value of every kind, made from fixed seeds: what the committed vectors decode to.
enum Samples {
    static let peer = NodeIdentity(seed: .counting(from: 1))!
    static let relay = NodeIdentity(seed: .counting(from: 65))!
    static let secrets = SessionSecrets { label in
        label.hasSuffix("plain")
            ? Hex.decode("7ccfa1770359ea6b24a35d942cccd06f90a962a4516a7aac881e47217bd4aa70")
            : .counting(from: UInt8(label.utf8.count))
    }!
    static let otherSecrets = SessionSecrets { .counting(from: UInt8($0.utf8.count) &+ 100) }!
    static let secret = secrets.plainSecret
    static let meshKey = MeshKey(bytes: .counting(from: 33))!
    static let mapping = MappingID(value: 0x0123_4567_89ab_cdef)
    static let nonce = [UInt8].counting(from: 0xa0)
    static let terms = Receipt.Terms(
        between: .init(relay: relay.key, peer: peer.key), mapping: mapping, protocols: .tcp, host: "relay.example.org",
        ports: PortRange(first: 40_000, last: 40_009)!, during: .init(issued: 1_800_000_000, expires: 1_800_086_400),
        limits: limits)!
    static let welcomeWithPorts = {
        var welcome = RelayMessage.Welcome(
            session: SessionID(value: 0x1122_3344_5566_7788), name: "relay-1", observed: "203.0.113.9:51820",
            software: "p2prc 1.0", channels: 4)
        welcome.ports = PortRange(first: 20_000, count: 12_768)
        return welcome
    }()
    static let welcomeWithDatagrams = {
        var welcome = RelayMessage.Welcome(
            session: SessionID(value: 0x1122_3344_5566_7788), name: "relay-1", observed: "203.0.113.9:51820",
            software: "p2prc 1.0", channels: 4)
        welcome.datagrams = 0xa1b2_c3d1
        return welcome
    }()
    /// Two changes of key; what stands in place of the signatures is made up, for a library may add randomness to them.
    static let history = KeyHistory([
        KeySuccession(
            bytes: [UInt8].counting(from: 1) + relay.key.bytes + [UInt8](repeating: 0, count: 16)
                + .counting(from: 9, 128))!,
        KeySuccession(
            bytes: relay.key.bytes + peer.key.bytes + [UInt8](repeating: 1, count: 16)
                + .counting(from: 19, 128))!,
    ])
    static let limits: Receipt.Terms.Limits = {
        var limits = Receipt.Terms.Limits()
        limits.connections = 100
        limits.bytesPerSecond = 10_000_000
        return limits
    }()

    static let messages: [(name: String, message: EitherMessage)] = [
        (
            "hello-mesh",
            .peer(.hello(.init(proofs: [meshKey.proof(by: .peer, over: secrets.binding), .counting(from: 5)])))
        ),
        ("hello-token", .peer(.hello(.init(token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln")))),
        ("hello-nothing", .peer(.hello(.init()))),
        ("hello-history", .peer(.hello(.init(proofs: [.counting(from: 5)], history: history)))),
        (
            "membership-mesh",
            .relay(.membership(.init(basis: .mesh, proof: meshKey.proof(by: .relay, over: secrets.binding))))
        ),
        ("membership-token", .relay(.membership(.init(basis: .token)))),
        ("membership-open", .relay(.membership(.init(basis: .openRelay)))),
        (
            "introduction",
            .peer(
                .introduction(
                    .init(
                        instance: ProcessInstance(bytes: .counting(from: 7, 16))!, name: "büro-1",
                        dialled: "relay.example.org:8088", software: "p2prc 1.0", wantsPlain: true)))
        ),
        (
            "introduction-began",
            .peer(
                .introduction(
                    .init(
                        instance: ProcessInstance(bytes: .counting(from: 7, 16))!, name: "box",
                        dialled: "192.0.2.1:8088",
                        software: "p2prc 1.0", began: 1_800_000_000_123_456_789)))
        ),
        (
            "welcome",
            .relay(
                .welcome(
                    .init(
                        session: SessionID(value: 0x1122_3344_5566_7788), name: "relay-1",
                        observed: "203.0.113.9:51820",
                        software: "p2prc 1.0", channels: 4)))
        ),
        (
            "welcome-plain",
            .relay(
                .welcome(
                    .init(
                        session: SessionID(value: 0x1122_3344_5566_7788), name: "relay-1",
                        observed: "203.0.113.9:51820",
                        software: "p2prc 1.0", channels: 4, isPlain: true)))
        ),
        (
            "welcome-groups",
            .relay(
                .welcome(
                    .init(
                        session: SessionID(value: 0x1122_3344_5566_7788), name: "relay-1",
                        observed: "203.0.113.9:51820",
                        software: "p2prc 1.0", channels: 2, groups: 2)))
        ),
        (
            "welcome-ports",
            .relay(.welcome(welcomeWithPorts))
        ),
        ("welcome-datagrams", .relay(.welcome(welcomeWithDatagrams))),
        ("meshKeyRenewed", .relay(.meshKeyRenewed(meshKey))),
        ("keyHistoryWanted", .peer(.keyHistoryWanted(peer.key))), ("keyHistory", .relay(.keyHistory(history))),
        ("keyHistory-none", .relay(.keyHistory(KeyHistory()))),
        ("tokenRenewed", .peer(.tokenRenewed("eyJhbGciOiJFZERTQSJ9.e30.c2ln"))),
        ("tokenJudged", .relay(.tokenJudged(reason: "it was issued by another relay"))),
        ("close", .peer(.close(.superseded, detail: "a later process proved the same key"))),
        ("ping", .peer(.ping(0x0102_0304_0506_0708))),
        ("pong", .peer(.pong(0x0102_0304_0506_0708))),
        (
            "request-any",
            .peer(.request(.init(mapping: mapping, protocols: .tcp, wish: .any(count: 3), target: "server port")))
        ),
        (
            "request-exactly",
            .peer(
                .request(
                    .init(
                        mapping: mapping, protocols: [.tcp, .udp], wish: .exactly(PortRange(first: 8080, count: 1)!),
                        target: "127.0.0.1:80")))
        ),
        (
            "request-preferably",
            .peer(
                .request(
                    .init(
                        mapping: mapping, protocols: .udp, wish: .preferably(PortRange(first: 40_000, last: 40_009)!),
                        target: "[::1]:53")))
        ),
        (
            "offer",
            .relay(
                .offer(
                    .init(
                        mapping: mapping, attempt: 2, ports: PortRange(first: 40_000, last: 40_009)!,
                        leaseSeconds: 86_400)))
        ),
        ("commit", .peer(.commit(mapping, attempt: 2))),
        (
            "commit-ports",
            .peer(.commit(mapping, attempt: 2, ports: PortStates([.targetDown, .committed, .committed])))
        ),
        ("decline", .peer(.decline(mapping, attempt: 2, reason: .portTakenHere))),
        ("active", .relay(.active(mapping, attempt: 2, host: "relay.example.org"))),
        ("refusal", .relay(.refusal(mapping, reason: .portLeased, detail: "port 8080 is leased to another node"))),
        ("release", .peer(.release(mapping))),
        ("released", .relay(.released(mapping))),
        ("report", .peer(.report(mapping, state: .verified))),
        ("report-leaving", .peer(.report(mapping, state: .targetDown, isLeaving: true))),
        (
            "report-ports",
            .peer(
                .report(
                    mapping, state: .verified,
                    ports: PortStates([.verified] + Array(repeating: .targetDown, count: 300) + [.unreachable])))
        ),
        ("receipt", .relay(.receipt(.init(terms: terms, relaySignature: .counting(from: 33, 64))))),
        ("receiptSigned", .peer(.receiptSigned(mapping, signature: .counting(from: 99, 64)))),
        ("channelsWanted", .relay(.channelsWanted(32, group: 0))),
        ("channelsWanted-group", .relay(.channelsWanted(32, group: 3))),
        ("datagramsMissed", .relay(.datagramsMissed)),
        ("draining", .relay(.draining(true))), ("draining-undone", .relay(.draining(false))),
        (
            "checkWanted",
            .peer(.checkWanted(.init(number: 9, mapping: mapping, host: "192.0.2.17", port: 40_003, nonce: nonce)))
        ),
        (
            "checkWanted-both",
            {
                var request = PeerMessage.CheckRequest(
                    number: 9, mapping: mapping, host: "192.0.2.17", port: 40_003, nonce: nonce)
                request.protocols = [.tcp, .udp]
                return .peer(.checkWanted(request))
            }()
        ),
        ("checkDone", .relay(.checkDone(number: 9, passed: true, detail: ""))),
        ("checkDone-failed", .relay(.checkDone(number: 10, passed: false, detail: "192.0.2.17:40003 does not answer"))),
        (
            "request-filtered",
            .peer(
                .request(
                    .init(
                        mapping: mapping, protocols: .tcp, wish: .any(count: 1), target: "127.0.0.1:22",
                        allow: networks("203.0.113.0/24", "2001:db8::/32"), deny: networks("203.0.113.7"))))
        ),
    ]

    static let preambles: [(name: String, preamble: Preamble)] = [
        ("preamble-session", Preamble(kind: .session)),
        ("preamble-data", Preamble(kind: .data)),
        ("preamble-version-answer", Preamble(kind: .versionAnswer)),
        ("preamble-check", Preamble(kind: .check)),
        ("preamble-check-answer", Preamble(kind: .checkAnswer)),
    ]

    static let dataChannelHello = DataChannelHello(
        group: ChannelGroup(session: SessionID(value: 0x1122_3344_5566_7788), number: 3), number: 5, secret: secret)

    /// What travels on a data channel, one visitor each.
    static let channelFrames: [(name: String, bytes: [UInt8])] = [
        ("channel-frames-end", ChannelFrame.alive + ChannelFrame.framed(Array("GET".utf8)) + ChannelFrame.end),
        ("channel-frames-ready", ChannelFrame.end + ChannelFrame.ready),
        ("channel-frames-raw", ChannelFrame.framed([1, 2]) + ChannelFrame.raw),
        ("channel-frames-broken", ChannelFrame.framed([1, 2]) + ChannelFrame.broken + ChannelFrame.ready),
    ]

    static let visitorStarts: [(name: String, start: VisitorStart)] = [
        (
            "visitor-start-ipv4",
            VisitorStart(
                mapping: mapping, portOffset: 2, visitor: 77, wantsAnswer: true,
                address: VisitorAddress(isIPv6: false, host: [198, 51, 100, 7], port: 49_152))
        ),
        (
            "visitor-start-ipv6",
            VisitorStart(
                mapping: mapping, portOffset: 0, visitor: 78, wantsAnswer: false,
                address: VisitorAddress(
                    isIPv6: true, host: [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], port: 443))
        ),
        (
            "visitor-start-check",
            VisitorStart(
                mapping: mapping, portOffset: 0, visitor: 79, wantsAnswer: false, isCheckOnly: true,
                address: VisitorAddress(isIPv6: false, host: [198, 51, 100, 7], port: 49_153))
        ),
    ]

    static let probe = ReachabilityCheck.probe(nonce: nonce)
    static let answer = ReachabilityCheck.answer(nonce: nonce, mapping: mapping, by: peer)

    /// Tags that may be left out, by frame type.
    static let optionalTags: [UInt8: Set<UInt8>] = [
        0x04: [6, 7, 8, 9], 0x08: [6], 0x22: [3], 0x28: [3, 4], 0x30: [2], 0x38: [6],
    ]
    /// Tags of values that have no one length.
    static let variableTags: [UInt8: Set<UInt8>] = [0x06: [1, 2], 0x36: [1], 0x0a: [1], 0x22: [3], 0x28: [4]]

    static func networks(_ texts: String...) -> [Network] { texts.map { try! Network($0) } }

    /// Tags of lists, which may be left out or be empty, by frame type.
    static let listTags: [UInt8: Set<UInt8>] = [0x20: [7, 8], 0x06: [3]]

    /// Tags of texts, which may be left out, by frame type.
    static let textTags: [UInt8: Set<UInt8>] = [
        0x08: [2, 3, 4], 0x04: [2, 3, 4], 0x05: [2], 0x20: [6], 0x24: [3], 0x25: [3], 0x38: [3],
        0x39: [3], 0x37: [1],
    ]

    /// Whether a text says where something is: the target of a request, the host that visitors are told.
    static func isPlace(_ type: UInt8, _ tag: UInt8) -> Bool { type == 0x20 && tag == 6 || type == 0x24 && tag == 3 }
}

/// Every kind of message: a new case does not compile here until it is listed, and fails
/// `VectorTests` until it has a vector.
enum MessageKind: CaseIterable, Hashable {
    case hello, membership, introduction, welcome, close, ping, pong, meshKeyRenewed, keyHistoryWanted, keyHistory
    case tokenRenewed, tokenJudged
    case requestAny, requestExactly, requestPreferably
    case offer, commit, decline, active, refusal, release, released, report, receipt, receiptSigned
    case channelsWanted, datagramsMissed, draining, checkWanted, checkDone

    init(_ message: EitherMessage) {
        switch message {
        case .peer(let message): self.init(message)
        case .relay(let message): self.init(message)
        }
    }

    private init(_ message: PeerMessage) {
        self =
            switch message {
            case .keyHistoryWanted: .keyHistoryWanted
            case .hello: .hello
            case .introduction: .introduction
            case .request(let request):
                switch request.wish {
                case .any: .requestAny
                case .exactly: .requestExactly
                case .preferably: .requestPreferably
                }
            case .commit: .commit
            case .decline: .decline
            case .release: .release
            case .report: .report
            case .receiptSigned: .receiptSigned
            case .checkWanted: .checkWanted
            case .tokenRenewed: .tokenRenewed
            case .close: .close
            case .ping: .ping
            case .pong: .pong
            }
    }

    private init(_ message: RelayMessage) {
        self =
            switch message {
            case .close: .close
            case .ping: .ping
            case .pong: .pong
            case .keyHistory: .keyHistory
            case .membership: .membership
            case .welcome: .welcome
            case .offer: .offer
            case .active: .active
            case .refusal: .refusal
            case .released: .released
            case .receipt: .receipt
            case .checkDone: .checkDone
            case .channelsWanted: .channelsWanted
            case .datagramsMissed: .datagramsMissed
            case .draining: .draining
            case .meshKeyRenewed: .meshKeyRenewed
            case .tokenJudged: .tokenJudged
            }
    }
}
