import PeerCore
import PeerWire

@testable import PeerRatchet

/// Two nodes with keys for circuits, and what they draw at random.
struct TwoNodes {
    var random: SeededGenerator
    let home = NodeIdentity(seed: [UInt8](repeating: 1, count: 32))!
    let laptop = NodeIdentity(seed: [UInt8](repeating: 2, count: 32))!
    var homeKeys: CircuitKeys
    var laptopKeys: CircuitKeys

    init(seed: UInt64 = 1) {
        random = SeededGenerator(seed: seed)
        homeKeys = CircuitKeys(of: home, at: .zero, using: &random)
        laptopKeys = CircuitKeys(of: laptop, at: .zero, using: &random)
    }

    static let circuit: [UInt8] = Array("circuit!".utf8)

    /// The laptop opens a circuit to home, whose end has opened the first record.
    mutating func circuit(
        _ settings: Ratchet.Settings = Ratchet.Settings()
    ) throws(RatchetError) -> TwoEnds {
        var (initiator, preface) = try laptopKeys.initiate(
            to: homeKeys.bundle(of: home), circuit: Self.circuit, settings, at: .zero, using: &random)
        let record = try initiator.seal(Array("first".utf8), at: .zero, using: &random)
        let (responder, _, _) = try homeKeys.respond(
            to: preface, record, circuit: Self.circuit, settings, at: .zero)
        return TwoEnds(random: random, initiator: initiator, responder: responder)
    }
}

/// Both ends of a circuit.
struct TwoEnds {
    enum End: CaseIterable {
        case initiator, responder
        var other: End { self == .initiator ? .responder : .initiator }
    }

    var random: SeededGenerator
    var initiator: Ratchet
    var responder: Ratchet
    var now = Instant.zero

    mutating func seal(_ text: [UInt8], at end: End) throws(RatchetError) -> [UInt8] {
        switch end {
        case .initiator: try initiator.seal(text, at: now, using: &random)
        case .responder: try responder.seal(text, at: now, using: &random)
        }
    }

    mutating func open(_ record: [UInt8], at end: End) throws(RatchetError) -> [UInt8] {
        switch end {
        case .initiator: try initiator.open(record)
        case .responder: try responder.open(record)
        }
    }

    /// A text goes from one end to the other.
    mutating func carry(_ text: [UInt8], from end: End) throws(RatchetError) -> Bool {
        try open(try seal(text, at: end), at: end.other) == text
    }
}
