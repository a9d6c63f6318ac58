import PeerCore
import PeerWire
import SimulationSupport

/// A peer's agreement in each of its states, and every event by name.
enum AgreementStates {
    static let ports = PortRange(first: 4_000, count: 1)!
    static let offer = RelayMessage.Offer(mapping: .number(5), attempt: 3, ports: ports, leaseSeconds: 60)

    static let relay = NodeIdentity(seed: .seed(1))!
    static let draft = Receipt.Terms(
        between: .init(relay: relay.key, peer: .number(6)), mapping: .number(5), protocols: .tcp, host: "relay",
        ports: ports, during: .init(issued: WallTime.start.seconds, expires: WallTime.start.seconds + 60),
        limits: .init())!
        .signed(byRelay: relay)

    static let names = [
        "offline", "requested", "checking own port", "committed", "active", "verified", "unreachable", "target-down",
        "refused",
    ]

    static let events: [(name: String, event: PeerPortAgreement.Event)] = [
        ("sessionReady", .sessionReady), ("sessionLost", .sessionLost), ("offered", .offered(offer)),
        ("ownPortBound", .ownPortBound), ("ownPortTaken", .ownPortTaken),
        ("activated", .activated(attempt: 3, host: "relay")),
        ("refused", .refused(.noPortFree, detail: "none is free")), ("targetAnswers", .targets(answers)),
        ("targetSilent", .targets(silence)), ("checkPassed", .checkPassed(0, by: "this node")),
        ("checkFailed", .checkFailed(0, reason: "refused")),
        ("receiptOffered", .receiptOffered(draft, relay: relay.key, peer: .number(6))),
        ("exchange", .exchange(PortRange(first: 5_000, count: 1)!)), ("timePassed", .timePassed),
    ]

    static let answers = TargetStates.answering(1)
    static let silence = TargetStates(silent: [0: "server port does not answer"])

    /// Its targets answer.
    static func make(_ target: MappingWish.Target = .serverPort, _ ports: PortWish = .any(count: 1))
        -> PeerPortAgreement
    {
        var agreement = PeerPortAgreement(
            wish: MappingWish(id: .number(5), target: target, protocols: .tcp, ports: ports), targetText: "server port",
            remembered: nil)
        _ = agreement.handle(.targets(.answering(ports.count)), at: .zero)
        return agreement
    }

    static func inState(_ name: String) -> PeerPortAgreement {
        var agreement = make()
        func give(_ events: PeerPortAgreement.Event...) {
            for event in events { _ = agreement.handle(event, at: .zero) }
        }
        switch name {
        case "offline": break
        case "requested": give(.sessionReady)
        case "checking own port": give(.sessionReady, .offered(offer))
        case "committed": give(.sessionReady, .offered(offer), .ownPortBound)
        case "refused": give(.sessionReady, .refused(.noPortFree, detail: "none is free"))
        default:
            give(.sessionReady, .offered(offer), .ownPortBound, .activated(attempt: 3, host: "relay"))
            switch name {
            case "verified": give(.checkPassed(0, by: "this node"))
            case "unreachable": for _ in 0..<4 { give(.checkFailed(0, reason: "refused")) }
            case "target-down": give(.targets(silence))
            default: break
            }
        }
        return agreement
    }

    static func name(of agreement: PeerPortAgreement) -> String {
        switch agreement.stage {
        case .offline: "offline"
        case .requested: "requested"
        case .checking: "checking own port"
        case .committed: "committed"
        case .active: agreement.state == .targetDown ? "target-down" : "\(agreement.state)"
        case .refused: "refused"
        }
    }
}

extension PeerPortAgreement {
    var verifiedBy: [String] { firstWorking?.by ?? [] }
}

extension PeerPortAgreement.Action {
    var name: String {
        switch self {
        case .send(.request(let request)): "send request \(request.wish.name)"
        case .send(.commit): "send commit"
        case .send(.decline(_, _, let reason)): "send decline(\(reason))"
        case .send(.report(_, let state, _, _)): "send report(\(state))"
        case .send(let message): "send \(message)"
        case .bindOwnPort: "bindOwnPort"
        case .freeOwnPort: "freeOwnPort"
        case .check(_, _, _, let after): after == .zero ? "check" : "check after \(Int(after.milliseconds)) ms"
        case .changed: "changed"
        case .remember: "remember"
        case .countersign: "countersign"
        case .object(let objection): "object(\(objection))"
        }
    }
}

extension PortWish {
    var name: String {
        switch self {
        case .any: "any"
        case .exactly: "exactly"
        case .preferably: "preferably"
        }
    }
}
