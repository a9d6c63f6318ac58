/// Why something of a circuit cannot be opened or made. None of them changes a ratchet's state.
public enum RatchetError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not sealed by the other end for this place: changed, doubled, or of another circuit.
    case notGenuine
    /// Too short or too long for what it is to be.
    case malformed
    /// Something before it is missing, where nothing may be.
    case outOfOrder
    /// So much before it is missing that it is not looked for.
    case tooManySkipped
    /// More text than a record holds.
    case tooLong
    /// A key with which everybody comes to the same secret.
    case weakKey
    /// A node key's signature is wrong.
    case unsigned
    /// The prekey that it was made for is gone or full: there is a newer one.
    case prekeyGone
    /// A first message that was there before.
    case replayed
    /// Nothing can be sealed before the other end's first message has been opened.
    case tooEarly
    /// A chain has come to its last number.
    case exhausted

    public var description: String {
        switch self {
        case .notGenuine: "a record is not genuine"
        case .malformed: "a record has a length that none has"
        case .outOfOrder: "a record before this one is missing"
        case .tooManySkipped: "too many records before this one are missing"
        case .tooLong: "more than a record holds"
        case .weakKey: "a key that agrees with everybody"
        case .unsigned: "a key is not signed by its node"
        case .prekeyGone: "made for a prekey that is not used any more"
        case .replayed: "a first message that was there before"
        case .tooEarly: "nothing was heard from the other end yet"
        case .exhausted: "a chain of keys is at its end"
        }
    }
}
