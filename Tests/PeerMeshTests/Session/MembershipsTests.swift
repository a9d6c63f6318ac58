import PeerMesh
import PeerWire
import Testing

@Suite struct MembershipsTests {
    static let key = NodeIdentity(seed: .seed(1))!.key
    static let otherKey = NodeIdentity(seed: .seed(2))!.key
    static let mesh = MeshKey(bytes: .seed(3))!
    static let address = "203.0.113.11:8088"

    @Test func `a key is pinned on first use and another one is then a change`() {
        var memberships = Memberships()
        #expect(memberships.verdict(on: Self.key, at: Self.address) == .new)
        let isLearned = memberships.learn(Self.key, at: Self.address)
        #expect(isLearned)
        #expect(memberships[Self.address].source == .firstUse)
        #expect(memberships.verdict(on: Self.key, at: Self.address) == .known)
        #expect(memberships.verdict(on: Self.otherKey, at: Self.address) == .changed(from: Self.key))
        #expect(memberships.verdict(on: Self.otherKey, at: "198.51.100.1:8088") == .new)
        let isReplaced = memberships.learn(Self.otherKey, at: Self.address)
        #expect(!isReplaced && memberships[Self.address].key == Self.key)
    }

    @Test func `a join link does not go before what the relay has proven, and before everything else`() {
        var memberships = Memberships()
        let link = JoinLink(address: Self.address, relay: Self.otherKey, meshKey: Self.mesh)
        let good = JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh)
        memberships.learn(Self.key, at: Self.address)
        let before = memberships
        #expect(memberships.contradiction(to: link, at: Self.address) == Self.key)
        let isTaken = memberships.join(link, at: Self.address)
        #expect(!isTaken && memberships == before)
        #expect(memberships.contradiction(to: good, at: Self.address) == nil)
        // A slip that never led anywhere is mended by the right one.
        memberships = Memberships()
        memberships.join(link, at: Self.address)
        #expect(!memberships[Self.address].isProven)
        memberships.join(good, at: Self.address)
        #expect(memberships[Self.address].key == Self.key && memberships[Self.address].source == .joinLink)
        memberships.learn(Self.key, at: Self.address)
        #expect(memberships[Self.address].isProven && memberships[Self.address].source == .joinLink)
        memberships.trust(Self.otherKey, at: Self.address)
        #expect(!memberships[Self.address].isProven, "a user's word may be wrong")
    }

    @Test func `of two mesh keys both are shown until the relay has proven one, and that one stays`() {
        let other = MeshKey(bytes: .seed(4))!
        func shown(_ memberships: Memberships) -> [MeshKey] {
            memberships.credentials(for: Self.key, at: Self.address, own: []) { _, _ in false }.meshKeys
        }
        for proven in [Self.mesh, other] {
            var memberships = Memberships()
            memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
            memberships.learn(Self.key, meshKey: Self.mesh, at: Self.address)
            // A slip, or a newer one, or one from before: nobody can tell yet.
            memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: other), at: Self.address)
            #expect(shown(memberships) == [other, Self.mesh])
            memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: other), at: Self.address)
            #expect(shown(memberships) == [other, Self.mesh])
            memberships.learn(Self.key, meshKey: proven, at: Self.address)
            #expect(shown(memberships) == [proven])
        }
        // What never let anybody in does not take the place of what did, and the right link mends it.
        var memberships = Memberships()
        for key in [Self.mesh, other, MeshKey(bytes: .seed(5))!, Self.mesh] {
            memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: key), at: Self.address)
        }
        #expect(shown(memberships) == [Self.mesh])
    }

    @Test func `a link from before the relay's change of key is no contradiction`() {
        var memberships = Memberships()
        memberships.learn(Self.key, at: Self.address)
        memberships.follow([Self.key], to: Self.otherKey, at: Self.address)
        let old = JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh)
        #expect(memberships.contradiction(to: old, at: Self.address) == nil)
        memberships.join(old, at: Self.address)
        #expect(memberships[Self.address].key == Self.otherKey && memberships[Self.address].meshKey == Self.mesh)
        #expect(memberships[Self.address].formerKeys == [Self.key])
    }

    @Test func `a relay that is left takes its secrets along, but not the mesh key that others go by`() {
        var memberships = Memberships()
        memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
        memberships.join(withToken: "token", at: Self.address)
        memberships.learn(Self.otherKey, at: "b:1")
        var keeps = memberships.leave(Self.address, usesOthers: true)
        #expect(keeps && memberships[Self.address] == Memberships.Relay(meshKey: Self.mesh))
        let shown = memberships.credentials(for: Self.otherKey, at: "b:1", own: []) { _, _ in true }
        #expect(shown.meshKeys == [Self.mesh])
        keeps = memberships.leave("b:1", usesOthers: false)
        #expect(!keeps && memberships == Memberships(), "with the last one the rest goes")
        // Where another one of the same mesh says it too, nothing remains of the first.
        memberships.join(JoinLink(address: "b:1", relay: Self.otherKey, meshKey: Self.mesh), at: "b:1")
        memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
        keeps = memberships.leave(Self.address, usesOthers: true)
        #expect(keeps && memberships.relays.keys.sorted() == ["b:1"])
    }

    @Test func `trust is the user's word and goes before a pin`() {
        var memberships = Memberships()
        memberships.join(JoinLink(address: Self.address, relay: Self.otherKey, meshKey: Self.mesh), at: Self.address)
        #expect(memberships.verdict(on: Self.otherKey, at: Self.address) == .known)
        #expect(memberships[Self.address].meshKey == Self.mesh)
        memberships.trust(Self.key, at: Self.address)
        #expect(memberships.verdict(on: Self.key, at: Self.address) == .known)
        memberships.trust(nil, at: Self.address)
        #expect(memberships.verdict(on: Self.otherKey, at: Self.address) == .new)
        #expect(memberships[Self.address].meshKey == Self.mesh, "trust changes no mesh key")
    }

    @Test func `the relay's own mesh key is shown first and a token to the relay that it names only`() {
        var memberships = Memberships()
        let other = MeshKey(bytes: .seed(4))!
        let own = MeshKey(bytes: .seed(5))!
        memberships.join(JoinLink(address: Self.address, relay: Self.key, meshKey: Self.mesh), at: Self.address)
        memberships.join(JoinLink(address: "b:1", relay: Self.otherKey, meshKey: other), at: "b:1")
        memberships.join(withToken: "token", at: Self.address)
        let good = memberships.credentials(for: Self.key, at: Self.address, own: [own]) { $1 == Self.key }
        #expect(good.meshKeys == [Self.mesh, own, other])
        #expect(good.token == "token" && good.isKeyKnown)
        let strange = memberships.credentials(for: Self.otherKey, at: Self.address, own: []) { $1 == Self.key }
        #expect(strange.token == nil && !strange.isKeyKnown)
    }

    @Test func `the table has an end`() {
        var memberships = Memberships()
        for number in 0..<Memberships.maximumRelays { memberships.learn(Self.key, at: "relay\(number):1") }
        let isLearned = memberships.learn(Self.key, at: "one-more:1")
        #expect(!isLearned)
        let isForgotten = memberships.forget("relay0:1")
        #expect(isForgotten && memberships.relays.count == Memberships.maximumRelays - 1)
    }
}
