import PeerCore
import PeerProbing
import PeerReactor
import PeerWire
import SimulationSupport
import Testing

@testable import PeerServices

@Suite("What a node answers")
struct AnsweringTests {
    private let dialBack = DialBackRequest(
        nonce: [UInt8](repeating: 5, count: DialBackRequest.nonceByteCount), port: 8_088)

    private func status(_ response: MeshResponse?) -> String {
        switch response {
        case .answer: "answer"
        case .busy: "busy"
        case .malformed: "malformed"
        case .stranger: "stranger"
        case nil: "nothing"
        }
    }

    @Test func `who shows no membership gets what any stranger gets, whatever it asks`() {
        let node = LoneNode()
        for body in [[], [GossipDigest.kind], MeshProbe.request(), MeshMirror.request] {
            #expect(status(node.asks(body, 2, isMember: false)) == "stranger")
        }
        // Once it was shown it holds for a while, and no longer.
        #expect(status(node.asks(MeshProbe.request(), 2)) == "answer")
        #expect(status(node.asks(MeshProbe.request(), 2, isMember: false)) == "answer")
        node.pass(seconds: 601)
        #expect(status(node.asks(MeshProbe.request(), 2, isMember: false)) == "stranger")
    }

    @Test func `who has a session needs no proof, as long as it has one`() {
        let node = LoneNode()
        node.sessions = [Seal(2).key]
        #expect(status(node.asks(MeshMirror.request, 2, isMember: false)) == "answer")
        node.sessions = []
        #expect(status(node.asks(MeshMirror.request, 2, isMember: false)) == "stranger")
    }

    @Test func `what is no question is called malformed, and each part says so`() {
        let node = LoneNode()
        for kind in [GossipDigest.kind, GossipDifference.kind, DialBackRequest.kind, MeshProbe.requestKind, 255] {
            #expect(status(node.asks([kind, 1, 2, 3], 2)) == "malformed", "\(kind)")
        }
        #expect(status(node.asks([], 2)) == "malformed")
    }

    @Test func `who asks without end is told that this node is busy, and others are not`() {
        let node = LoneNode()
        let answers = (0..<1_000).map { _ in status(node.asks(MeshMirror.request, 2)) }
        #expect(answers.first == "answer")
        #expect(answers.last == "busy")
        #expect(status(node.asks(MeshMirror.request, 9_000_003)) == "answer")
    }

    @Test func `a node with much to do carries no bytes for a measurement, and still says how it goes`() {
        let node = LoneNode()
        #expect(status(node.asks(MeshProbe.request(wanted: 1_000), 2)) == "answer")
        node.load = 0.9
        #expect(status(node.asks(MeshProbe.request(wanted: 1_000), 2)) == "busy")
        #expect(status(node.asks(MeshProbe.request(), 2)) == "answer")
    }

    @Test func `a dial-back is made to whoever asks, and its nonce answered by nobody else`() throws {
        let node = LoneNode()
        var answer: MeshResponse?
        node.asks(dialBack.bytes, 2) { answer = $0 }
        #expect(answer == nil)
        let dial = try #require(node.question(NonceDelivery.kind))
        #expect(dial.request.key == Seal(2).key)
        #expect(dial.request.host == HostAddress.v4(2).description)
        dial.answer(2, [], of: node)
        guard case .answer(let body, _) = answer, let document = DialBackAnswer(body) else {
            Issue.record("no answer, but \(String(describing: answer))")
            return
        }
        #expect(document.outcome == .reached)
        #expect(try #require(document.statement).witness == node.key)
    }

    @Test func `a node that ends answers whoever waits`() throws {
        let node = LoneNode()
        var answer: MeshResponse?
        node.asks(dialBack.bytes, 2) { answer = $0 }
        node.mesh.stop()
        #expect(answer == .busy)
    }
}
