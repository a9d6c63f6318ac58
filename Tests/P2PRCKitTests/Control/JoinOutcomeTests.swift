import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@testable import P2PRCKit

@Suite struct JoinOutcomeTests {
    static let relay = Endpoint("203.0.113.11:8088")!

    private func settled(
        _ failures: Int = 0, _ reason: String? = nil, refusal: HandshakeFailure? = nil, isNew: Bool = true,
        hasLink: Bool = true, waited: Instant.Span
    ) -> JoinOutcome? {
        JoinOutcome.settled(
            Self.relay, RelayProspect(terms: nil, name: nil, failures: failures, reason: reason, refusal: refusal),
            isNew: isNew, hasLink: hasLink, isTemporary: false, waited: waited)
    }

    @Test func `a relay that says nothing is waited for, one that says no is not, and both are kept`() throws {
        #expect(settled(waited: .seconds(9)) == nil)
        let silent = try #require(settled(0, "no answer within 2 s", waited: .seconds(10)))
        #expect(silent.keeps && silent.reply.status == .relayUnavailable)
        #expect(
            silent.reply.text.contains("no answer within 2 s")
                && silent.reply.text.contains("p2prc leave 203.0.113.11:8088"))
        #expect(settled(1, "refused", waited: .seconds(2)) == nil)
        #expect(settled(2, "refused", waited: .milliseconds(200)) == nil)
        #expect(settled(2, "refused", waited: .seconds(1))?.keeps == true)
    }

    @Test func `a link that the relay contradicts leaves nothing behind`() throws {
        let wrong = try #require(settled(1, refusal: .keyChanged("the join link names the key"), waited: .zero))
        #expect(!wrong.keeps && wrong.reply.status == .usage)
        #expect(wrong.reply.text.contains("nothing of it is kept"))
        let known = try #require(settled(1, refusal: .keyChanged("..."), isNew: false, waited: .zero))
        #expect(known.reply.text.contains("what was known of it before stays"))
        // A known relay that changed its key is no slip of whoever typed its address.
        #expect(settled(1, refusal: .keyChanged("..."), hasLink: false, waited: .zero) == nil)
    }

    @Test func `who is no member is told so at once`() {
        let stranger = settled(1, refusal: .refused(.notAMember, ""), waited: .zero)
        #expect(stranger?.keeps == false && stranger?.reply.status == .refused)
        let token = settled(1, refusal: .refused(.notAMember, "the token counts from tomorrow on"), waited: .zero)
        #expect(token?.keeps == true && token?.reply.status == .refused)
        // That may change.
        #expect(settled(1, refusal: .refused(.limitReached, ""), waited: .zero) == nil)
    }
}
