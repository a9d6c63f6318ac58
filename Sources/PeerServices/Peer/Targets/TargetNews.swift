internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What the log says of targets: those that fall silent, or answer again, at about the same time stand in one line. A
/// machine that starts has many services that are not there yet. Belongs to the control loop.
final class TargetNews {
    private static let delay = Instant.Span.milliseconds(200)
    /// Named in one line; of the others it says how many.
    private static let maximumNames = 5

    private let loop: EventLoop
    private let log: Logger
    /// In the order in which they came, with the reason; `nil`: it answers.
    private var waiting: [(target: String, reason: String?, isMany: Bool, isTriedAgain: Bool)] = []

    init(on loop: EventLoop, _ log: Logger) {
        self.loop = loop
        self.log = log
    }

    /// `isMany`: several ports of one mapping. `isTriedAgain`: only a visitor's datagram can tell whether it is back,
    /// so visitors are let in to it before it answers.
    func silent(_ target: String, _ reason: String, isMany: Bool, isTriedAgain: Bool = false) {
        add((target, reason, isMany, isTriedAgain))
    }

    func answers(_ target: String, isMany: Bool) { add((target, nil, isMany, false)) }

    /// Answers to visitors came from another place than they were asked at, or somebody else sent there. Said at once.
    ///
    /// - Parameter isItsHost: from another port of the same address.
    func strays(_ target: Endpoint, _ source: DatagramAddress, isItsHost: Bool) {
        let (own, advice) =
            isItsHost
            ? ("port", "have it answer from the port that it is asked at")
            : ("address", "have it answer from the address that it is asked at, or expose the other one")
        log.warning(
            "service \(target) answers from \(source) instead of its own \(own), unless somebody else sent that; "
                + "such answers are not passed on: \(advice)")
    }

    private func add(_ word: (target: String, reason: String?, isMany: Bool, isTriedAgain: Bool)) {
        if waiting.isEmpty { loop.schedule(after: Self.delay) { [weak self] in self?.tell() } }
        waiting.removeAll { $0.target == word.target }
        waiting.append(word)
    }

    private func tell() {
        let silent = waiting.filter { $0.reason != nil }
        let answering = waiting.filter { $0.reason == nil }
        waiting = []
        if let only = silent.first, silent.count == 1 {
            let (silence, end) = only.isMany ? ("do not answer", "they do") : ("does not answer", "it does")
            let next =
                only.isTriedAgain
                ? "a later visitor tries \(only.isMany ? "them" : "it") again" : "visitors are refused until \(end)"
            log.warning("\(only.target) \(silence) (\(only.reason ?? "")); \(next)")
        } else if !silent.isEmpty {
            let names = Self.names(silent.map(\.target))
            let isSure = !silent.contains(where: \.isTriedAgain)
            let next = isSure ? "their visitors are refused until they do" : "they are tried again"
            log.warning("\(silent.count) targets do not answer (\(names)); \(next)")
        }
        if let only = answering.first, answering.count == 1 {
            log.info("\(only.target) \(only.isMany ? "answer" : "answers") again")
        } else if !answering.isEmpty {
            log.info("\(answering.count) targets answer again (\(Self.names(answering.map(\.target))))")
        }
    }

    private static func names(_ all: [String]) -> String {
        let rest = all.count - maximumNames
        return all.prefix(maximumNames).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}
