internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What a peer does with its key: sign receipts, and go on under another one. And what it does when a relay does that.
extension PeerService {
    /// This node has another key (`KeyRing.rotate`): every relay learns it in a new session, and what visitors have
    /// open goes on meanwhile.
    public func keyRotated() {
        let reason = "this node has another key from now on"
        for relay in relays { relay.connection.restart(because: reason) }
    }

    /// Only the relay that a mesh key is for can say that there is another one, and only to one who knew the key
    /// before.
    func received(meshKey: MeshKey, from relay: UsedRelay) {
        guard relay.terms?.basis == .mesh else { return }
        log.about(relay.endpoint).info(
            "relay \(relay.endpoint): the mesh has a new key; it is kept for the next session")
        if knownRelays.renew(meshKey, at: relay.endpoint.description) { host?.save(knownRelays, done: nil) }
    }

    /// What a relay made of a token that was shown in a session; a reason where it counts for nothing.
    func judged(_ reason: String, by relay: UsedRelay) {
        relay.renewal.take()?(reason)
        if reason.isEmpty {
            log.about(relay.endpoint).info("relay \(relay.endpoint): the new token is accepted")
        } else {
            log.about(relay.endpoint).warning(
                "relay \(relay.endpoint): the new token is not accepted, the former one stays: \(reason)")
        }
    }

    /// What a relay says about another key of its own, in a session under its present one.
    func received(keyHistory history: KeyHistory, from relay: UsedRelay) {
        guard let key = relay.terms?.key, let next = history.successions.last?.next else { return }
        do throws(KeyHistoryFault) {
            let former = try history.formerKeys(of: next, at: loop.wall().seconds)
            if former.contains(key) { follow(relay, former, to: next) }
        } catch {
            log.about(relay.endpoint).warning(
                "relay \(relay.endpoint): its word about another key counts for nothing: \(error)")
        }
    }

    /// The relay has handed its key over to another one, as it has proven.
    func follow(_ relay: UsedRelay, _ formerKeys: [NodeKey], to key: NodeKey) {
        guard let pinned = knownRelays[relay.endpoint.description].key,
            knownRelays.follow(formerKeys, to: key, at: relay.endpoint.description)
        else { return }
        log.about(relay.endpoint).warning(
            "relay \(relay.endpoint): its key \(pinned.short) was replaced by \(key.short), signed by both")
        host?.save(knownRelays, done: nil)
    }

    /// What is temporary leaves no file behind, so its receipt is signed and not kept.
    func countersign(_ draft: Receipt.Draft, _ relay: UsedRelay) {
        let receipt = draft.countersigned(byPeer: keys.identity)
        let mapping = draft.terms.mapping
        relay.send(.receiptSigned(mapping, signature: receipt.peerSignature))
        guard !book.isTemporary(mapping) else { return }
        let bound = LoopBound((self, relay), on: loop)
        parts.receipts.save(receipt) { [loop] in
            loop.execute {
                let (service, relay) = bound.value
                guard service.book[mapping] != nil, relay.receipts.insert(mapping).inserted else { return }
                service.host?.changed()
            }
        }
    }
}
