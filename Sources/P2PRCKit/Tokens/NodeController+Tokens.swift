internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerWire

extension NodeController {
    /// Carries a command about tokens out, off the loop, and back on it ends the sessions that live by tokens that are
    /// over now.
    func token(_ command: TokenCommand, _ answer: @escaping (ControlReply) -> Void) {
        // A node that was one before has kept its mesh key, and may be one again.
        guard relay != nil || meshKey != nil || !command.isIssue else {
            return answer(ControlReply(status: .notFound, text: TokenCommands.noRelay, document: nil))
        }
        let bound = LoopBound((self, answer), on: loop)
        let ports = settings.ports
        Task { [loop, tokens] in
            var outcome = await tokens.carryOut(command, at: .now)
            if case .issue(let request) = command, outcome.reply.status == .success {
                outcome.reply.warnings = request.warnings(ports)
            }
            let done = outcome
            var holder: NodeKey?
            if case .issue(let request) = command { holder = request.node.flatMap { NodeKey($0) } }
            let bearer = holder
            loop.execute {
                let (core, answer) = bound.value
                if let bearer { core.relay?.tokenMade(for: bearer) }
                core.endTokens(done.ended, at: .now)
                answer(done.reply)
            }
        }
    }

    private func endTokens(_ endings: [TokenService.Ending], at now: WallTime) {
        for (time, ids) in Dictionary(grouping: endings, by: \.at) {
            guard time > now else {
                for ending in ids { relay?.tokenEnded(ending.id) }
                continue
            }
            let rest = UInt64(time.seconds.subtractingReportingOverflow(now.seconds).partialValue)
            loop.schedule(after: .seconds(rest)) { [weak self] in
                for ending in ids { self?.relay?.tokenEnded(ending.id) }
            }
        }
    }
}
