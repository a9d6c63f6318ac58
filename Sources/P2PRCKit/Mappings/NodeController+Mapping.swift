internal import FoundationEssentials
internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// `--mp` and `unmap`: a mapping is written down, asked for, and waited for.
extension NodeController {
    /// How long `--mp` waits for a mapping to settle.
    private static let settleLimit = Instant.Span.seconds(20)
    /// How often it looks meanwhile, besides after each change.
    private static let settleInterval = Instant.Span.milliseconds(250)

    /// Commands that wait for their mappings.
    struct MapWaits {
        fileprivate var waiters: [ObjectIdentifier: Waiter] = [:]
        /// A mapping is being written down; whoever wants another one waits. There is one for each client at most.
        fileprivate var isMapping = false
        fileprivate var queue: [() -> Void] = []
        /// Something is waited for, which is looked for in all mappings.
        fileprivate var settling = Leisure()
    }

    fileprivate final class Waiter {
        let mapping: MappingID
        let answer: (ControlReply) -> Void
        let since: Instant
        var timer: LoopTimer?
        init(_ mapping: MappingID, since: Instant, _ answer: @escaping (ControlReply) -> Void) {
            self.mapping = mapping
            self.since = since
            self.answer = answer
        }
    }

    func map(_ request: MappingRequest, _ answer: @escaping (ControlReply) -> Void) {
        // One after the other: two that ask for the same get one mapping.
        guard !mapWaits.isMapping else { return mapWaits.queue.append { [weak self] in self?.map(request, answer) } }
        if peer.relayStandings.isEmpty, let lack {
            return answer(ControlReply(status: .relayUnavailable, text: lack, document: nil))
        }
        if let conflict = conflict(of: request) {
            return answer(ControlReply(status: .usage, text: conflict, document: nil))
        }
        let adoption = adoption(of: request)
        mapWaits.isMapping = true
        let written = onLoop { (core: NodeController, error: StorageError?) in
            core.mapWaits.isMapping = false
            core.written(adoption, request, error, answer)
            if !core.mapWaits.queue.isEmpty { core.mapWaits.queue.removeFirst()() }
        }
        let changes = adoption.toWrite
        if !changes.isEmpty {
            writer.write(
                "a mapping", { table throws(StorageError) in for wish in changes { try table.save(wish) } },
                done: written)
        } else if adoption.isTemporary {
            written(nil)
        } else {
            writer.confirm(Self.name(adoption.wish.id), done: written)
        }
    }

    func written(
        _ adoption: Adoption, _ request: MappingRequest, _ error: StorageError?,
        _ answer: @escaping (ControlReply) -> Void
    ) {
        let id = adoption.wish.id
        if let error {
            let truth =
                switch adoption.kind {
                case .new: "nothing is exposed"
                case .changed: "the mapping stays as it was"
                case .same: "the mapping works, but is not kept over a restart"
                }
            return answer(.unchanged(truth, error))
        }
        carryOut(adoption)
        // A refusal drops it.
        if adoption.kind == .new { peer.setTrial(of: id, true) }
        let waiter = Waiter(id, since: loop.clock()) { [weak self] reply in
            var reply = reply
            reply.remarks = (reply.remarks ?? []) + [adoption.remark].compactMap { $0 }
            let isRefused = [.refused, .noPortFree, .portTaken].contains(reply.status)
            guard let self else { return answer(reply) }
            peer.setTrial(of: id, false)
            if let reach = reach(of: request) { reply.text += (reply.status == .success ? "\n" : "; ") + reach }
            // A refusal leaves nothing behind; whatever can still come true stays.
            if adoption.kind == .new, isRefused { return forget(id) { answer(reply.adding($0)) } }
            if reply.status != .success, !isRefused, !adoption.isTemporary {
                reply.text += "; it is kept (p2prc unmap \(mappingNames.shortName(adoption.wish)) takes it back)"
            }
            answer(reply)
        }
        mapWaits.waiters[ObjectIdentifier(waiter)] = waiter
        peer.look(at: id)
        peer.hurry()
        wait(waiter)
    }

    private func wait(_ waiter: Waiter) {
        let waited = loop.clock() - waiter.since
        settle(waiter, isLate: waited >= Self.settleLimit)
        guard mapWaits.waiters[ObjectIdentifier(waiter)] != nil else { return }
        waiter.timer = loop.schedule(after: Self.settleInterval) { [weak self, weak waiter] in
            guard let self, let waiter else { return }
            wait(waiter)
        }
    }

    /// Where that takes long, `wait` does it soon enough.
    func settleWaiters() {
        guard !mapWaits.waiters.isEmpty, mapWaits.settling.isDue else { return }
        let start = loop.clock()
        for waiter in mapWaits.waiters.values { settle(waiter, isLate: false) }
        mapWaits.settling.done(since: start)
    }

    private func settle(_ waiter: Waiter, isLate: Bool) {
        guard mapWaits.waiters[ObjectIdentifier(waiter)] != nil, isLate || !peer.isLooking(at: waiter.mapping),
            let reply = MapOutcome.reply(
                peer.mappings().filter { $0.wish.id == waiter.mapping }, known: mesh?.known.count ?? 0,
                waited: loop.clock() - waiter.since, isLate: isLate)
        else { return }
        mapWaits.waiters[ObjectIdentifier(waiter)] = nil
        waiter.timer?.cancel()
        var full = reply
        let rows = documents().mappings.mappings.filter { $0.mapping == waiter.mapping && $0.role == .peer }
        full.document = Self.reply(MappingRegistry(mappings: rows)).document
        waiter.answer(full)
    }

    /// - Parameter done: why it will be back after a restart; `nil`: it is gone for good.
    private func forget(_ id: MappingID, _ done: @escaping (StorageError?) -> Void) {
        let isTemporary = peer.isTemporary(id)
        peer.unmap(id)
        guard !isTemporary else { return done(nil) }
        writer.keep(
            "the end of a mapping", as: Self.name(id), { table throws(StorageError) in try table.removeWish(id) },
            done: onLoop { _, error in done(error) })
    }

    func unmap(_ name: String, _ answer: @escaping (ControlReply) -> Void) {
        let names = mappingNames
        let found = names.called(name)
        guard let id = found.first?.id else {
            return answer(ControlReply(status: .notFound, text: nobodys(name), document: nil))
        }
        guard found.count == 1 else {
            return answer(
                ControlReply(
                    status: .notFound,
                    text: "\(found.count) mappings could be meant by \(name); name one of them: "
                        + found.map(names.words).sorted().joined(separator: " or "),
                    document: nil))
        }
        let what = names.account(of: found[0])
        forget(id) { error in
            guard let error else {
                return answer(
                    ControlReply(
                        status: .success, text: "\(what) is taken back", document: "{\"Mapping\": \"\(id)\"}\n"))
            }
            answer(
                .unwritten("\(what) is taken back and closed now, but will be open again after a restart", error))
        }
    }
}
