internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// Commands answer when what they changed is on the disk.
extension NodeController {
    /// For the end of a write: back on the loop with what came of it.
    func onLoop(_ body: @escaping (NodeController, StorageError?) -> Void) -> TableWriter.Done {
        let bound = LoopBound((self, body), on: loop)
        return { [loop] error in
            loop.execute {
                let (core, body) = bound.value
                body(core, error)
            }
        }
    }

    /// The table's name for what is kept of a mapping (`TableWriter.keep`).
    static func name(_ id: MappingID) -> String { "mapping \(id)" }

    static func name(_ relay: Endpoint) -> String { "relay \(relay)" }

    /// Goes to the disk as soon as that takes it.
    func keep(_ wish: MappingWish) {
        writer.keep("a mapping", as: Self.name(wish.id), { table throws(StorageError) in try table.save(wish) })
    }

    /// The same of a relay that the user named.
    func keep(_ relay: Endpoint) {
        let joined = JoinedRelay(address: relay.description, added: UnixTime(.now))
        writer.keep("a relay", as: Self.name(relay), { table throws(StorageError) in try table.save(joined) })
    }
}

extension ControlReply {
    init(_ error: CommandError) { self.init(status: error.status, text: error.text, document: nil) }

    /// Nothing has changed, for it could not be written down.
    static func unchanged(_ what: String, _ error: StorageError) -> ControlReply {
        ControlReply(status: CommandError(error).status, text: "\(what): \(error)", document: nil)
    }

    /// It has changed, and what is on the disk has not: what is true now, and what will be after a restart.
    static func unwritten(_ truth: String, _ error: StorageError) -> ControlReply {
        ControlReply(
            status: CommandError(error).status,
            text: "\(truth), unless it can be written down before (this node goes on trying): \(error)", document: nil)
    }
}
