import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct KnownRelaysTests {
    static let key = NodeIdentity(seed: .seed(1))!.key
    static let otherKey = NodeIdentity(seed: .seed(2))!.key
    static let mesh = MeshKey(bytes: .seed(3))!
    static let address = "203.0.113.11:8088"

    @Test func `a key is pinned on first use and another one is then a change`() {
        var knownRelays = KnownRelays()
        #expect(knownRelays.verdict(on: Self.key, at: Self.address) == .new)
        let isLearned = knownRelays.learn(Self.key, at: Self.address)
        #expect(isLearned)
        #expect(knownRelays[Self.address].source == .firstUse)
        #expect(knownRelays.verdict(on: Self.key, at: Self.address) == .known)
        #expect(knownRelays.verdict(on: Self.otherKey, at: Self.address) == .changed(from: Self.key))
        #expect(knownRelays.verdict(on: Self.otherKey, at: "198.51.100.1:8088") == .new)
        let isReplaced = knownRelays.learn(Self.otherKey, at: Self.address)
        #expect(!isReplaced && knownRelays[Self.address].key == Self.key)
    }

    @Test func `a join link does not go before what the relay has proven, and before everything else`() {
        var knownRelays = KnownRelays()
        let link = JoinLink(address: Self.address, relay: Self.otherKey, meshKey: Self.mesh)
        let good = JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh)
        knownRelays.learn(Self.key, at: Self.address)
        let before = knownRelays
        #expect(knownRelays.contradiction(to: link, at: Self.address) == Self.key)
        let isTaken = knownRelays.join(link, at: Self.address)
        #expect(!isTaken && knownRelays == before)
        #expect(knownRelays.contradiction(to: good, at: Self.address) == nil)
        // A slip that never led anywhere is mended by the right one.
        knownRelays = KnownRelays()
        knownRelays.join(link, at: Self.address)
        #expect(!knownRelays[Self.address].isProven)
        knownRelays.join(good, at: Self.address)
        #expect(knownRelays[Self.address].key == Self.key && knownRelays[Self.address].source == .joinLink)
        knownRelays.learn(Self.key, at: Self.address)
        #expect(knownRelays[Self.address].isProven && knownRelays[Self.address].source == .joinLink)
        knownRelays.trust(Self.otherKey, at: Self.address)
        #expect(!knownRelays[Self.address].isProven, "a user's word may be wrong")
    }

    @Test func `of two mesh keys both are shown until the relay has proven one, and that one stays`() {
        let other = MeshKey(bytes: .seed(4))!
        func shown(_ knownRelays: KnownRelays) -> [MeshKey] {
            knownRelays.credentials(for: Self.key, at: Self.address, own: []) { _, _ in false }.meshKeys
        }
        for proven in [Self.mesh, other] {
            var knownRelays = KnownRelays()
            knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
            knownRelays.learn(Self.key, meshKey: Self.mesh, at: Self.address)
            // A slip, or a newer one, or one from before: nobody can tell yet.
            knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: other), at: Self.address)
            #expect(shown(knownRelays) == [other, Self.mesh])
            knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: other), at: Self.address)
            #expect(shown(knownRelays) == [other, Self.mesh])
            knownRelays.learn(Self.key, meshKey: proven, at: Self.address)
            #expect(shown(knownRelays) == [proven])
        }
        // What never let anybody in does not take the place of what did, and the right link mends it.
        var knownRelays = KnownRelays()
        for key in [Self.mesh, other, MeshKey(bytes: .seed(5))!, Self.mesh] {
            knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: key), at: Self.address)
        }
        #expect(shown(knownRelays) == [Self.mesh])
    }

    @Test func `a link from before the relay's change of key is no contradiction`() {
        var knownRelays = KnownRelays()
        knownRelays.learn(Self.key, at: Self.address)
        knownRelays.follow([Self.key], to: Self.otherKey, at: Self.address)
        let old = JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh)
        #expect(knownRelays.contradiction(to: old, at: Self.address) == nil)
        knownRelays.join(old, at: Self.address)
        #expect(knownRelays[Self.address].key == Self.otherKey && knownRelays[Self.address].meshKey == Self.mesh)
        #expect(knownRelays[Self.address].formerKeys == [Self.key])
    }

    @Test func `a relay that is left takes its secrets along, but not the mesh key that others go by`() {
        var knownRelays = KnownRelays()
        knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
        knownRelays.join(withToken: "token", at: Self.address)
        knownRelays.learn(Self.otherKey, at: "b:1")
        var keeps = knownRelays.leave(Self.address, usesOthers: true)
        #expect(keeps && knownRelays[Self.address] == KnownRelays.Relay(meshKey: Self.mesh))
        let shown = knownRelays.credentials(for: Self.otherKey, at: "b:1", own: []) { _, _ in true }
        #expect(shown.meshKeys == [Self.mesh])
        keeps = knownRelays.leave("b:1", usesOthers: false)
        #expect(!keeps && knownRelays == KnownRelays(), "with the last one the rest goes")
        // Where another one of the same mesh says it too, nothing remains of the first.
        knownRelays.join(JoinLink(address: "b:1", relay: Self.otherKey, meshKey: Self.mesh), at: "b:1")
        knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
        keeps = knownRelays.leave(Self.address, usesOthers: true)
        #expect(keeps && knownRelays.relays.keys.sorted() == ["b:1"])
    }

    @Test func `trust is the user's word and goes before a pin`() {
        var knownRelays = KnownRelays()
        knownRelays.join(JoinLink(address: Self.address, relay: Self.otherKey, meshKey: Self.mesh), at: Self.address)
        #expect(knownRelays.verdict(on: Self.otherKey, at: Self.address) == .known)
        #expect(knownRelays[Self.address].meshKey == Self.mesh)
        knownRelays.trust(Self.key, at: Self.address)
        #expect(knownRelays.verdict(on: Self.key, at: Self.address) == .known)
        knownRelays.trust(nil, at: Self.address)
        #expect(knownRelays.verdict(on: Self.otherKey, at: Self.address) == .new)
        #expect(knownRelays[Self.address].meshKey == Self.mesh, "trust changes no mesh key")
    }

    @Test func `the relay's own mesh key is shown first and a token to the relay that it names only`() {
        var knownRelays = KnownRelays()
        let other = MeshKey(bytes: .seed(4))!
        let own = MeshKey(bytes: .seed(5))!
        knownRelays.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
        knownRelays.join(JoinLink(address: "b:1", relay: Self.otherKey, meshKey: other), at: "b:1")
        knownRelays.join(withToken: "token", at: Self.address)
        let good = knownRelays.credentials(for: Self.key, at: Self.address, own: [own]) { $1 == Self.key }
        #expect(good.meshKeys == [Self.mesh, own, other])
        #expect(good.token == "token" && good.isKeyKnown)
        let strange = knownRelays.credentials(for: Self.otherKey, at: Self.address, own: []) { $1 == Self.key }
        #expect(strange.token == nil && !strange.isKeyKnown)
    }

    @Test func `the table has an end`() {
        var knownRelays = KnownRelays()
        for number in 0..<KnownRelays.maximumRelays { knownRelays.learn(Self.key, at: "relay\(number):1") }
        let isLearned = knownRelays.learn(Self.key, at: "one-more:1")
        #expect(!isLearned)
        let isForgotten = knownRelays.forget("relay0:1")
        #expect(isForgotten && knownRelays.relays.count == KnownRelays.maximumRelays - 1)
    }
}
