internal import PeerDataPlane
internal import PeerServices

/// What a node is put together from, in lists: one more of a kind is one line here.
enum Parts {
    /// How streams get to other nodes, and from them. The first one that takes a stream has it; the plain one takes
    /// every stream that no other claims, so it is the last one.
    static func carriers(_ keys: KeyRing) -> Carriers { Carriers([TLSCarrier(keys), PlainCarrier()]) }
}
