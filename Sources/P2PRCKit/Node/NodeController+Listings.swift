internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// What the node tells of itself, in the registries and to commands.
extension NodeController {
    /// What lanes counted up to now.
    struct Counted: Sendable {
        var exposed: [ExposedMapping]
        var carried: [CarriedMapping]
        var datagrams: DatagramCounts
    }

    /// - Parameter counted: with what the lanes count; `nil`: without.
    func documents(_ counted: Counted? = nil) -> Documents {
        let own = relay.map {
            Documents.OwnRelay(
                endpoint: ownEndpoint($0), carried: counted?.carried ?? $0.mappings(), allowsPlain: settings.isPlain,
                ports: settings.relayPolicy.ports.usual)
        }
        var documents = Documents(
            of: NamedNode(name: settings.name, key: keys.key), own: own, relays: peer.relayStandings,
            known: mesh?.known ?? [],
            exposed: counted?.exposed ?? peer.mappings(),
            waiting: peer.relayStandings.isEmpty ? peer.allWishes.sorted { $0.id.value < $1.id.value } : [], now: .now)
        listings.tell(ofMisfits: documents.leaveOutMisfits())
        return documents
    }

    /// Asks the lanes, and answers on the control loop.
    private func count(_ answer: @escaping (NodeController, Counted) -> Void) {
        let bound = LoopBound((self, answer), on: loop)
        peer.report { exposed, datagrams in
            let (node, answer) = bound.value
            guard let relay = node.relay else {
                return answer(node, Counted(exposed: exposed, carried: [], datagrams: datagrams))
            }
            relay.report { carried in
                let (node, answer) = bound.value
                answer(node, Counted(exposed: exposed, carried: carried, datagrams: datagrams))
            }
        }
    }

    func viewServers(_ answer: @escaping (ControlReply) -> Void) {
        var reply = Self.reply(documents().servers)
        reply.remarks = remarkOnReach
        answer(reply)
    }

    func viewMappings(_ answer: @escaping (ControlReply) -> Void) {
        count { node, counted in answer(Self.reply(node.documents(counted).mappings)) }
    }

    func status(_ answer: @escaping (ControlReply) -> Void) {
        count { node, counted in answer(node.statusReply(counted)) }
    }

    private func statusReply(_ counted: Counted) -> ControlReply {
        let uptime = loop.clock() - started
        let status = StatusDocument(
            of: self, uptimeSeconds: Int(uptime.nanoseconds / 1_000_000_000), counted)
        guard let bytes = try? OrderedJSON.encode(status) else {
            return ControlReply(status: .failure, text: "the status cannot be written", document: nil)
        }
        return ControlReply(status: .success, text: "", document: String(decoding: bytes, as: UTF8.self))
    }

    /// Whether no visitor is connected, here or at this node's relays.
    func whetherIdle(_ answer: @escaping (Bool) -> Void) {
        count { _, counted in
            answer(
                counted.exposed.allSatisfy { $0.traffic.open == 0 }
                    && counted.carried.allSatisfy { $0.traffic.open == 0 })
        }
    }
}
