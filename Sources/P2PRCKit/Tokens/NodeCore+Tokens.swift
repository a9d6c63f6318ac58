internal import PeerMesh
internal import PeerReactor

extension NodeCore {
    /// Carries a command about tokens out, off the loop, and back on it ends the sessions that live by tokens that are
    /// over now.
    func token(_ command: TokenCommand, _ answer: @escaping (ControlReply) -> Void) {
        guard let tokens else {
            return answer(ControlReply(status: .failure, text: "this node keeps no tokens", document: nil))
        }
        let bound = LoopBound((self, answer), on: loop)
        Task { [loop] in
            let outcome = await tokens.carryOut(command, at: .now)
            loop.execute {
                let (core, answer) = bound.value
                core.end(outcome.ended, at: .now)
                answer(outcome.reply)
            }
        }
    }

    private func end(_ endings: [TokenDesk.Ending], at now: WallTime) {
        for (time, ids) in Dictionary(grouping: endings, by: \.at) {
            guard time > now else {
                for ending in ids { onTokenRevoked?(ending.id) }
                continue
            }
            let rest = UInt64(time.seconds.subtractingReportingOverflow(now.seconds).partialValue)
            loop.schedule(after: .seconds(rest)) { [weak self] in
                for ending in ids { self?.onTokenRevoked?(ending.id) }
            }
        }
    }
}
