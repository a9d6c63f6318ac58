import PeerCore
import PeerProbing
import PeerReactor
import PeerWire
import SimulationSupport
import Testing

@testable import PeerServices

@Suite("The relays that a node finds")
struct RelayFinderTests {
    /// A record of a relay that two others have reached.
    private func relay(_ number: Int, _ node: LoneNode, roles: NodeRecord.Roles = .relay) -> SignedRecord {
        let seal = Seal(number)
        let time = node.wall().seconds
        let words = [700_000, 800_000].map { witness in
            Seal(witness).sign(
                .init(subject: seal.key, witness: Seal(witness).key, time: time, address: .number(number)))
        }
        return seal.record(
            issue: UInt64(time) * 1_000, issued: time, roles: roles, name: "relay-\(number)",
            addresses: [.number(number)], witnesses: words)
    }

    /// The two that reached it are known, and have talked to this node.
    private func meetWitnesses(_ node: LoneNode) {
        for witness in [700_000, 800_000] {
            let time = node.wall().seconds
            node.told([Seal(witness).record(issue: UInt64(time) * 1_000, issued: time, name: "witness")], by: witness)
        }
    }

    private func found() -> LoneNode {
        let node = LoneNode()
        meetWitnesses(node)
        node.told([relay(2, node)], by: 700_000)
        return node
    }

    @Test func `a relay that others reached is measured once it was met, and may be chosen then`() throws {
        let node = found()
        node.pass(seconds: 3)
        // The first that it hears of this node is a round of gossip.
        try #require(node.question(GossipDigest.kind)).answer(2, [], status: 429, of: node)
        node.pass(seconds: 2)
        #expect(node.mesh.relayKeys == [Seal(2).key])
        #expect(node.mesh.candidates.isEmpty)
        let probe = try #require(node.question(MeshProbe.requestKind))
        #expect(probe.request.key == Seal(2).key)
        probe.answer(2, MeshProbe.answer(load: 0.1, wanted: 0), of: node)
        node.pass(seconds: 5)
        while let probe = node.question(MeshProbe.requestKind) {
            probe.answer(2, MeshProbe.answer(load: 0.1, wanted: 0), of: node)
        }
        let candidate = try #require(node.mesh.candidates.first)
        #expect(candidate.key == Seal(2).key)
        #expect(candidate.endpoint == Endpoint(.number(2)))
        #expect(node.mesh.known.map(\.name) == ["relay-2"])
    }

    @Test func `a relay that does not answer its first question is not chosen`() throws {
        let node = found()
        node.pass(seconds: 3)
        try #require(node.question(GossipDigest.kind)).fails(.late)
        node.pass(seconds: 10)
        #expect(node.mesh.candidates.isEmpty)
        #expect(node.mesh.known.map(\.isProven) == [true])
    }

    @Test func `a relay that says it is none any more is forgotten`() {
        let node = found()
        node.pass(seconds: 3)
        node.told([relay(2, node, roles: [])], by: 700_000)
        #expect(node.mesh.relayKeys.isEmpty)
        #expect(node.mesh.known.isEmpty)
    }

    @Test func `what a session measures counts as a probe does`() throws {
        let node = found()
        node.pass(seconds: 3)
        for key in [Seal(2).key, Seal(3).key] {
            for _ in 0..<5 { node.mesh.measured(.milliseconds(12), of: key) }
        }
        node.pass(seconds: 2)
        #expect(node.mesh.candidates.map(\.key) == [Seal(2).key])
    }

    @Test func `bandwidth is measured while nothing else goes over the line, and not before`() throws {
        let node = found()
        node.isIdle = false
        node.pass(seconds: 3)
        for _ in 0..<10 { node.mesh.measured(.milliseconds(12), of: Seal(2).key) }
        while let probe = node.question(MeshProbe.requestKind) { probe.fails(.late) }
        node.pass(seconds: 30)
        #expect(bandwidthQuestion(node) == nil)
        node.isIdle = true
        node.pass(seconds: 61)
        let download = try #require(bandwidthQuestion(node))
        download.answer(2, MeshProbe.answer(load: 0, wanted: MeshProbe.maximumDownload), of: node)
        while let upload = bandwidthQuestion(node) {
            upload.answer(2, MeshProbe.answer(load: 0, wanted: 0), of: node)
        }
        let sample = try #require(node.bandwidths.first)
        // A mebibyte in the 25 ms that the answer took.
        #expect(try abs(Double(#require(sample.down)) - 1_048_576 / 0.025) < 1e6)
        #expect(sample.up != nil)
    }

    /// Probes of the round trip that come first are answered as such.
    private func bandwidthQuestion(_ node: LoneNode) -> LoneNode.Question? {
        while let probe = node.question(MeshProbe.requestKind) {
            guard let (wanted, padding) = MeshProbe.read(request: probe.request.body ?? []) else { continue }
            if wanted + padding > 0 { return probe }
            probe.answer(2, MeshProbe.answer(load: 0.1, wanted: 0), of: node)
        }
        return nil
    }
}
