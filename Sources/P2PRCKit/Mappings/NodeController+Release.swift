internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// `p2prc release` at the running relay.
extension NodeController {
    /// - Parameter name: a public port, or a node by its name or the first digits of its key.
    func release(_ name: String, _ answer: @escaping (ControlReply) -> Void) {
        guard let relay else {
            return answer(
                ControlReply(
                    status: .notFound,
                    text: "this node is no relay, so it has leased nothing; p2prc unmap takes back what it exposes",
                    document: nil))
        }
        if let port = UInt16(name) { return release(port, relay, answer) }
        let names = relay.leases.reduce(into: relay.sessionNames) { names, lease in
            if names[lease.key] == nil { names[lease.key] = lease.peerName }
        }
        let isDigits = name.utf8.count >= 4 && name.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
        let found = names.filter { $0.value == name || isDigits && $0.key.description.hasPrefix(name) }.keys
        guard let key = found.first else {
            return answer(
                ControlReply(
                    status: .notFound,
                    text: "no port and no node here is called \(name); --view-rpm --wide lists ports with their nodes",
                    document: nil))
        }
        guard found.count == 1 else {
            let keys = found.map(\.short).sorted().joined(separator: ", ")
            return answer(
                ControlReply(
                    status: .notFound,
                    text: "\(found.count) nodes could be meant by \(name); name one by its key: \(keys)",
                    document: nil))
        }
        let leases = relay.leases.filter { $0.key == key }
        relay.sendAway(key)
        let ports = leases.map(\.ports.description).sorted().joined(separator: ", ")
        let ended = leases.isEmpty ? "it had no lease" : "its leases end: \(ports)"
        finish(
            leases, "\(names[key] ?? "") (\(key.short)) is sent away for 10 minutes, \(ended). \(Self.forGood)", answer)
    }

    private func release(_ port: UInt16, _ relay: RelayService, _ answer: @escaping (ControlReply) -> Void) {
        let leases = relay.leases.filter { $0.ports.ports.contains(port) }
        guard !leases.isEmpty else {
            return answer(
                ControlReply(
                    status: .notFound, text: "port \(port) is leased to nobody; --view-rpm lists what is", document: nil
                ))
        }
        for lease in leases { relay.release(Claim(key: lease.key, mapping: lease.mapping)) }
        let words = leases.map { "\($0.ports) is taken back from \($0.peerName) (\($0.key.short))" }
        finish(
            leases,
            words.joined(separator: "; ") + ", which is refused it for 10 minutes; "
                + "to send the node away: p2prc release \(leases[0].key.short)", answer)
    }

    private static let forGood =
        "To keep a node away for good, revoke its token (p2prc token revoke), change the mesh key "
        + "(p2prc mesh-key rotate --keep 0s), or start with --deny-peers"

    /// Answers when it is written that these leases are over.
    private func finish(_ leases: [Lease], _ text: String, _ answer: @escaping (ControlReply) -> Void) {
        struct Document: Encodable {
            struct Lease: Encodable {
                var Ports: String
                var Peer_name: String
                var Peer_key: String
            }
            var Released: [Lease]
        }
        let document = Document(
            Released: leases.map {
                Document.Lease(Ports: $0.ports.description, Peer_name: $0.peerName, Peer_key: $0.key.description)
            })
        let json = (try? OrderedJSON.encode(document)).map { String(decoding: $0, as: UTF8.self) }
        let written = ControlReply(status: .success, text: text, document: json)
        guard !leases.isEmpty else { return answer(written) }
        // Behind what was said of each lease before.
        let standing = LoopBound(Standing(waitingFor: leases.count, answer), on: loop)
        for lease in leases {
            let claim = Claim(key: lease.key, mapping: lease.mapping)
            writer.remove(claim, for: lease.account) { [loop] error in
                loop.execute {
                    standing.value.settled(error) { error in
                        guard let error else { return written }
                        let rest =
                            "It could not be written down yet and is tried again: \(error). If the relay is "
                            + "restarted before that, the leases are there again"
                        return ControlReply(status: .homeUnusable, text: "\(text). \(rest)", document: nil)
                    }
                }
            }
        }
    }

    /// Answers with the last of several writes.
    private final class Standing {
        private var waitingFor: Int
        private var failure: StorageError?
        private let answer: (ControlReply) -> Void

        init(waitingFor: Int, _ answer: @escaping (ControlReply) -> Void) {
            (self.waitingFor, self.answer) = (waitingFor, answer)
        }

        func settled(_ error: StorageError?, _ reply: (StorageError?) -> ControlReply) {
            failure = failure ?? error
            waitingFor -= 1
            if waitingFor == 0 { answer(reply(failure)) }
        }
    }
}
