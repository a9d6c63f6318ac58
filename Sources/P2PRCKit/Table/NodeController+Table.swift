internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage

extension NodeController {
    /// How long `--us` waits for a round. A command waits a minute for any answer.
    static let refreshLimit = Instant.Span.seconds(30)

    /// Carries a command about the IP table out, off the loop, and tells the mesh what is new.
    func table(_ command: TableCommand, _ answer: @escaping (ControlReply) -> Void) {
        let bound = LoopBound((self, answer), on: loop)
        Task { [loop, ipTable = writer.table] in
            let outcome = await TableEditor.carryOut(command, on: ipTable, at: UnixTime(.now))
            loop.execute {
                let (core, answer) = bound.value
                switch outcome.change {
                case .none: break
                case .seeds(let seeds): core.mesh?.seedsChanged(seeds)
                case .note(let note): core.mesh?.noteChanged(note)
                }
                answer(outcome.reply)
            }
        }
    }

    /// `--us`: answered once, when a round is done or when it takes too long.
    func refresh(_ answer: @escaping (ControlReply) -> Void) {
        guard let mesh else {
            return answer(
                ControlReply(
                    status: .failure, text: "this node takes no part in a mesh, so there is nobody to ask",
                    document: nil))
        }
        var pending: ((ControlReply) -> Void)? = answer
        let finish: (ControlReply) -> Void = { reply in
            pending?(reply)
            pending = nil
        }
        let timer = loop.schedule(after: Self.refreshLimit) {
            let limit = Int(Self.refreshLimit.milliseconds / 1_000)
            let text = "no round of exchanges was done within \(limit) s; --ls shows what is known"
            finish(ControlReply(status: .timedOut, text: text, document: nil))
        }
        mesh.refresh { done in
            timer.cancel()
            finish(Self.reply(to: done))
        }
    }

    private static func reply(to done: MeshService.Refreshed) -> ControlReply {
        let text = "\(done.answered) of \(done.asked) nodes answered; \(done.learnt) records are new"
        guard done.answered > 0 else {
            let next = done.asked == 0 ? "add one: p2prc --as HOST" : "look at them: p2prc --ls"
            return ControlReply(status: .relayUnavailable, text: "\(text); \(next)", document: nil)
        }
        return ControlReply(status: .success, text: text, document: nil)
    }
}
