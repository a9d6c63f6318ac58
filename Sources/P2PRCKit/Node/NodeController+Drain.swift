internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// `p2prc drain` at the running node.
extension NodeController {
    private static let drainTick = Instant.Span.milliseconds(200)
    /// A command that waits for news hears after this time that there are none. It waits a minute for any answer.
    private static let newsLimit = Instant.Span.seconds(30)

    func drain(_ order: DrainOrder, _ answer: @escaping (ControlReply) -> Void) {
        guard let relay else {
            return answer(
                ControlReply(
                    status: .notFound, text: "this node is not a relay, so it has no peers to let go; stop it as it is",
                    document: nil))
        }
        switch order {
        case .begin(let seconds) where !relay.isDraining:
            relay.drain(within: seconds)
            log.info("letting all peers go, within \(Age.text(seconds)); no new ones are taken")
            mesh?.isDraining = true
            watchDrain()
        case .begin(let seconds): relay.drain(within: seconds)
        case .news(let sessions, let visitors):
            return awaitNews(besides: (sessions, visitors), until: loop.clock() + Self.newsLimit, relay, answer)
        case .undo:
            guard relay.isDraining else {
                return answer(
                    ControlReply(status: .notFound, text: "this relay lets nobody go; nothing to undo", document: nil))
            }
            relay.stay()
            mesh?.isDraining = false
            log.info("staying: peers are taken again")
        }
        relay.drainStanding(besides: otherRelays) { standing in
            answer(Self.reply(standing, isDraining: relay.isDraining))
        }
    }

    private var otherRelays: Set<NodeKey> { mesh?.relayKeys ?? [] }

    private func awaitNews(
        besides known: (sessions: Int, visitors: Int), until limit: Instant, _ relay: RelayService,
        _ answer: @escaping (ControlReply) -> Void
    ) {
        relay.drainStanding(besides: otherRelays) { [weak self] standing in
            guard let self, relay.isDraining, (standing.sessions, standing.visitors) == known, loop.clock() < limit
            else {
                return answer(Self.reply(standing, isDraining: relay.isDraining))
            }
            loop.schedule(after: Self.drainTick) { self.awaitNews(besides: known, until: limit, relay, answer) }
        }
    }

    private static func reply(_ standing: DrainStanding, isDraining: Bool) -> ControlReply {
        let document = DrainDocument(
            Draining: isDraining, Sessions: standing.sessions, Visitors: standing.visitors, Peers: standing.peers,
            Relays: standing.relays)
        let text = isDraining ? Self.text(standing) : "staying: peers are taken again"
        guard let bytes = try? OrderedJSON.encode(document) else {
            return ControlReply(status: .failure, text: "the answer cannot be written", document: nil)
        }
        return ControlReply(status: .success, text: text, document: String(decoding: bytes, as: UTF8.self))
    }

    /// Who is left, by name, and why.
    private static func text(_ standing: DrainStanding) -> String {
        let relays = standing.relays.isEmpty ? "" : " (other relays are not waited for: \(names(standing.relays)))"
        if standing.isEmpty { return emptiness + "; it can be stopped" + relays }
        var left: [String] = []
        if !standing.peers.isEmpty { left.append("no other relay yet: \(names(standing.peers))") }
        if standing.visitors > 0 {
            left.append("\(standing.visitors) visitor\(standing.visitors == 1 ? "" : "s") still here")
        }
        return "waiting; \(left.joined(separator: "; "))" + relays
    }

    private static func names(_ all: [String]) -> String {
        let shown = all.prefix(8).map { String($0.prefix(64)) }.joined(separator: ", ")
        return all.count > 8 ? "\(shown) and \(all.count - 8) more" : shown
    }

    private static let emptiness = "empty: no session and no visitor is left"

    /// Says once that nobody is left.
    private func watchDrain() {
        loop.schedule(after: Self.drainTick) { [weak self] in
            guard let self, let relay, relay.isDraining else { return }
            relay.drainStanding(besides: otherRelays) { standing in
                guard standing.isEmpty else { return self.watchDrain() }
                self.log.info("\(Self.text(standing))")
            }
        }
    }
}

/// What `p2prc drain` asks for.
enum DrainOrder: Codable, Sendable {
    case begin(seconds: Int64)
    /// Answered when another number of sessions or visitors is left than these, or when it was taken back.
    case news(sessions: Int, visitors: Int)
    case undo
}

struct DrainDocument: Codable {
    var Draining: Bool
    /// Without those of other relays.
    var Sessions: Int
    var Visitors: Int
    var Peers: [String]?
    var Relays: [String]?
}
