import PeerCore
import PeerReactor
import PeerWire
import SimulationSupport
import Testing

@testable import PeerServices

@Suite("The record of a node")
struct OwnRecordTests {
    @Test func `nobody has it before it is on the disk`() throws {
        let node = LoneNode { $0.note = "from the start" }
        #expect(node.own?.record.note == "from the start")
        node.isDiskFast = false
        node.mesh.noteChanged("later")
        node.pass(seconds: 30)
        #expect(node.own?.record.note == "from the start")
        let write = try #require(node.writes.first)
        #expect(node.writes.count == 1, "one write at a time")
        write.done(true)
        #expect(node.own?.record.note == "later")
    }

    @Test func `what could not be written is written again`() throws {
        let node = LoneNode()
        node.isDiskFast = false
        node.mesh.noteChanged("later")
        node.pass(seconds: 30)
        node.writes.removeFirst().done(false)
        #expect(node.own?.record.note == "")
        node.pass(seconds: 60)
        try #require(node.writes.first).done(true)
        #expect(node.own?.record.note == "later")
    }

    @Test func `a relay says nothing in its first seconds, for it may know soon where it is`() {
        let relay = LoneNode { $0.isRelay = true }
        relay.pass(seconds: 2)
        #expect(relay.own == nil)
        relay.pass(seconds: 2)
        #expect(relay.own?.record.roles == [])
    }

    @Test func `a mapping for which there is no room is left out, and that is told once`() {
        let node = LoneNode()
        let long = NodeRecord.Mapping(
            name: "long", protocols: .tcp, host: String(repeating: "h", count: 300), ports: .only(80))
        node.announced = [.init(name: "web", protocols: .tcp, host: "relay", ports: .only(80)), long]
        node.pass(seconds: 60)
        node.mesh.noteChanged("again")
        node.pass(seconds: 60)
        #expect(node.own?.record.mappings.map(\.name) == ["web"])
        #expect(node.log.count(of: "\"long\" is not told to others") == 1)
    }

    @Test func `a record of the own key by a former process is written over`() throws {
        let node = LoneNode()
        let first = try #require(node.own)
        node.pass(seconds: 60)
        let former = node.seal.record(issue: first.issue + 5_000, issued: node.wall().seconds, name: "former")
        node.told([former], by: 2)
        node.pass(seconds: 60)
        #expect(try #require(node.own).issue > former.issue)
        #expect(!node.isSuperseded)
    }

    @Test func `a later process with the key ends this one`() throws {
        let node = LoneNode()
        let first = try #require(node.own)
        node.pass(seconds: 60)
        var later = first.record
        later.issue += 5_000
        later.process.began += 1
        later.process.instance += 1
        later.issued = node.wall().seconds
        node.told([node.seal.sign(later)], by: 2)
        // It may be over: this one writes above it, and whoever answers that is there.
        node.pass(seconds: 60)
        #expect(!node.isSuperseded)
        later.issue = try #require(node.own).issue + 1
        later.issued = node.wall().seconds
        node.told([node.seal.sign(later)], by: 2)
        #expect(node.isSuperseded)
    }
}
