internal import Logging
internal import PeerMesh
internal import PeerReactor

/// What the log says of targets: those that fall silent, or answer again, at about the same time stand in one line. A
/// machine that starts has many services that are not there yet. Belongs to the control loop.
final class TargetNews {
    private static let delay = Instant.Span.milliseconds(200)
    /// Named in one line; of the others it says how many.
    private static let maximumNames = 5

    private let loop: EventLoop
    private let log: Logger
    /// In the order in which they came, with the reason; `nil`: it answers.
    private var waiting: [(target: String, reason: String?)] = []

    init(on loop: EventLoop, _ log: Logger) {
        self.loop = loop
        self.log = log
    }

    func silent(_ target: String, _ reason: String) { add(target, reason) }

    func answers(_ target: String) { add(target, nil) }

    private func add(_ target: String, _ reason: String?) {
        if waiting.isEmpty { loop.schedule(after: Self.delay) { [weak self] in self?.tell() } }
        waiting.removeAll { $0.target == target }
        waiting.append((target, reason))
    }

    private func tell() {
        let silent = waiting.filter { $0.reason != nil }
        let answering = waiting.filter { $0.reason == nil }.map(\.target)
        waiting = []
        if let only = silent.first, silent.count == 1 {
            log.warning("\(only.target) does not answer (\(only.reason ?? "")); visitors are refused until it does")
        } else if !silent.isEmpty {
            let names = Self.names(silent.map(\.target))
            log.warning("\(silent.count) targets do not answer (\(names)); their visitors are refused until they do")
        }
        if answering.count == 1 {
            log.info("\(answering[0]) answers again")
        } else if !answering.isEmpty {
            log.info("\(answering.count) targets answer again (\(Self.names(answering)))")
        }
    }

    private static func names(_ all: [String]) -> String {
        let rest = all.count - maximumNames
        return all.prefix(maximumNames).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}
