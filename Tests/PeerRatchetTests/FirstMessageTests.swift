import PeerCore
import PeerWire
import Testing

@testable import PeerRatchet

/// How a circuit begins: who may be who, with which prekey, and once.
struct FirstMessageTests {
    private func opening(
        _ nodes: inout TwoNodes, to bundle: PrekeyBundle? = nil
    ) throws(RatchetError) -> (preface: [UInt8], record: [UInt8]) {
        let bundle = bundle ?? nodes.homeKeys.bundle(of: nodes.home)
        var (ratchet, preface) = try nodes.laptopKeys.initiate(
            to: bundle, circuit: TwoNodes.circuit, at: .zero, using: &nodes.random)
        return (preface, try ratchet.seal(Array("hello".utf8), at: .zero, using: &nodes.random))
    }

    @Test func `the first message carries text, and proves who says it`() throws {
        var nodes = TwoNodes()
        let (preface, record) = try opening(&nodes)
        #expect(preface.count == CircuitKeys.prefaceByteCount)
        #expect(CircuitKeys.claimant(of: preface) == nodes.laptop.key)
        let (_, text, from) = try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: .zero)
        #expect(text == Array("hello".utf8) && from == nodes.laptop.key)
    }

    @Test func `a byte that was changed in the preface makes no circuit`() throws {
        var nodes = TwoNodes()
        let (preface, record) = try opening(&nodes)
        for index in preface.indices {
            var changed = preface
            changed[index] ^= 1
            #expect(throws: RatchetError.self) {
                try nodes.homeKeys.respond(to: changed, record, circuit: TwoNodes.circuit, at: .zero)
            }
        }
        #expect(throws: RatchetError.malformed) {
            try nodes.homeKeys.respond(to: preface.dropLast(), record, circuit: TwoNodes.circuit, at: .zero)
        }
        // Nor does another circuit's name; and nothing of all this was remembered.
        #expect(throws: RatchetError.notGenuine) {
            try nodes.homeKeys.respond(to: preface, record, circuit: [1], at: .zero)
        }
        _ = try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: .zero)
    }

    @Test func `a first message counts once`() throws {
        var nodes = TwoNodes()
        let (preface, record) = try opening(&nodes)
        _ = try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: .zero)
        #expect(throws: RatchetError.replayed) {
            try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: .zero)
        }
    }

    @Test func `a bundle that its node did not sign is not used`() throws {
        var nodes = TwoNodes()
        let bundle = nodes.homeKeys.bundle(of: nodes.home)
        let other = AgreementPair(using: &nodes.random).key
        let forged = [
            PrekeyBundle(
                identity: bundle.identity, number: bundle.number, prekey: other, signature: bundle.signature),
            PrekeyBundle(
                identity: bundle.identity, number: bundle.number &+ 1, prekey: bundle.prekey,
                signature: bundle.signature),
            PrekeyBundle(
                identity: SignedIdentity(
                    node: bundle.identity.node, key: other, signature: bundle.identity.signature),
                number: bundle.number, prekey: bundle.prekey, signature: bundle.signature),
            // Another node's word for what is this one's.
            PrekeyBundle(bundle.identity, number: bundle.number, prekey: bundle.prekey, of: nodes.laptop),
        ]
        for bundle in forged { #expect(throws: RatchetError.unsigned) { try opening(&nodes, to: bundle) } }
    }

    @Test func `who claims to be another node is found out`() throws {
        var nodes = TwoNodes()
        let (preface, record) = try opening(&nodes)
        let true_ = try #require(FirstMessage(preface))
        // The node key of a third one before the laptop's agreement key; and the third one's key and word, with which
        // the secret is another.
        let third = NodeIdentity(seed: [UInt8](repeating: 3, count: 32))!
        let thirdKeys = CircuitKeys(of: third, at: .zero, using: &nodes.random)
        for (identity, error) in [
            (
                SignedIdentity(node: third.key, key: true_.identity.key, signature: true_.identity.signature),
                RatchetError.unsigned
            ),
            (thirdKeys.identity, .notGenuine),
        ] {
            var first = true_
            first.identity = identity
            #expect(throws: error) {
                try nodes.homeKeys.respond(to: first.bytes, record, circuit: TwoNodes.circuit, at: .zero)
            }
        }
    }

    @Test func `keys with which everybody agrees are refused`() throws {
        var nodes = TwoNodes()
        let zero = AgreementKey(bytes: [UInt8](repeating: 0, count: 32))!
        let bundle = PrekeyBundle(nodes.homeKeys.identity, number: 1, prekey: zero, of: nodes.home)
        #expect(throws: RatchetError.weakKey) { try opening(&nodes, to: bundle) }
        let (preface, record) = try opening(&nodes)
        var first = try #require(FirstMessage(preface))
        first.ephemeral = zero
        #expect(throws: RatchetError.weakKey) {
            try nodes.homeKeys.respond(to: first.bytes, record, circuit: TwoNodes.circuit, at: .zero)
        }
    }

    @Test func `a prekey serves for a day, and two more for those who read of it before`() throws {
        var nodes = TwoNodes()
        let day = CircuitKeys.lifetime
        let first = nodes.homeKeys.bundle(of: nodes.home)
        #expect(!nodes.homeKeys.renew(at: .zero + (day - .seconds(1)), using: &nodes.random))
        #expect(nodes.homeKeys.nextDeadline == Instant.zero + day)
        var now = Instant.zero
        for _ in 0..<2 {
            now = now + day
            #expect(nodes.homeKeys.renew(at: now, using: &nodes.random))
            #expect(nodes.homeKeys.bundle(of: nodes.home).number != first.number)
            let (preface, record) = try opening(&nodes, to: first)
            _ = try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: now)
        }
        now = now + day
        #expect(nodes.homeKeys.renew(at: now, using: &nodes.random))
        let (preface, record) = try opening(&nodes, to: first)
        #expect(throws: RatchetError.prekeyGone) {
            try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: now)
        }
    }

    @Test func `a prekey that has had as many first messages as are remembered makes room for another one`() throws {
        var nodes = TwoNodes()
        let bundle = nodes.homeKeys.bundle(of: nodes.home)
        for number in 0..<CircuitKeys.maximumFirstMessages {
            let key = AgreementKey(bytes: [UInt8](repeating: 0, count: 28) + UInt32(number).bigEndianBytes)!
            nodes.homeKeys.remember(key, for: bundle.number)
        }
        let (preface, record) = try opening(&nodes, to: bundle)
        #expect(throws: RatchetError.prekeyGone) {
            try nodes.homeKeys.respond(to: preface, record, circuit: TwoNodes.circuit, at: .zero)
        }
        #expect(nodes.homeKeys.renew(at: .zero, using: &nodes.random))
        let (again, anew) = try opening(&nodes)
        _ = try nodes.homeKeys.respond(to: again, anew, circuit: TwoNodes.circuit, at: .zero)
    }
}
