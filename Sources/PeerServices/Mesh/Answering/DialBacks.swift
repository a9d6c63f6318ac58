internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Dials back to nodes that ask whether they can be reached, as `DialBackResponder` allows. Belongs to the control
/// loop, and to one `MeshService`.
final class DialBacks {
    /// Called once; `nil`: this node has enough to do, or an end.
    typealias Reply = (DialBackAnswer?) -> Void

    private let context: MeshContext
    private let client: MeshClient
    private var responder: DialBackResponder
    private var replies: [UInt64: Reply] = [:]

    init(_ context: MeshContext, _ client: MeshClient) {
        self.context = context
        self.client = client
        responder = Self.responder(context)
    }

    private static func responder(_ context: MeshContext) -> DialBackResponder {
        var limits = DialBackResponder.Limits()
        // Who widened what is dialled may well have many nodes behind one address; for each key it stays as it is.
        if context.setup.isWidened {
            limits.dialsPerSource = 32
            limits.atOnceOfNear = limits.atOnce
            limits.atOnceOfWide = limits.atOnce
        }
        let dialGuard = context.dialGuard
        return DialBackResponder(own: context.own, limits: limits, mayDial: { dialGuard.allows($0) })
    }

    /// When `turn` is due.
    var nextDeadline: Instant? { responder.nextDeadline }

    func turn(at now: Instant) {
        for (number, result) in responder.timePassed(at: now) { answer(number, result) }
    }

    func keyRotated() {
        stop()
        responder = Self.responder(context)
    }

    /// What is under way is answered.
    func stop() {
        let replies = replies.values
        self.replies = [:]
        for reply in replies { reply(nil) }
    }

    func asked(_ request: DialBackRequest, by asker: DialBackResponder.Asker, _ reply: @escaping Reply) {
        switch responder.asked(request, by: asker, at: context.now) {
        case .answer(let outcome, let observed): reply(DialBackAnswer(outcome, observed: observed))
        case .dial(let number, let address, let key, let nonce):
            replies[number] = reply
            let own = context.own
            let limits = NodeRequest.Limits(connect: .seconds(3), total: .seconds(4), answer: 1_024)
            let question = client.request(
                NonceDelivery(nonce: nonce).bytes, to: Endpoint(address), key, isAlone: true, limits: limits)
            client.ask(question) { [weak self] result in
                // Numbers begin anew with another key.
                guard let self, context.own == own else { return }
                let isReached = (try? result.get())?.status == 200
                guard let result = responder.dialled(number, reached: isReached, at: context.wall) else { return }
                answer(number, result)
            }
        }
    }

    private func answer(_ number: UInt64, _ result: DialBackResponder.Result) {
        guard let reply = replies.removeValue(forKey: number) else { return }
        switch result {
        case .attest(let content, let observed):
            reply(DialBackAnswer(observed: observed, statement: context.signatures.sign(content)))
        case .answer(let outcome, let observed): reply(DialBackAnswer(outcome, observed: observed))
        }
    }
}
