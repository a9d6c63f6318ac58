internal import PeerDataPlane
internal import PeerServices

/// What a node is put together from, in lists: one more of a kind is one line here.
enum Parts {
    /// How streams get to other nodes, and from them. The first one that takes a stream has it; the plain one takes
    /// every stream that no other claims, so it is the last one.
    static func carriers(_ keys: KeyRing) -> Carriers { Carriers([TLSCarrier(keys), PlainCarrier()]) }

    /// What commands may ask of the running node.
    static var verbs: [any Verb<NodeController>.Type] {
        [
            StatusVerb.self, ViewServersVerb.self, ViewMappingsVerb.self, ExplainVerb.self, NetcheckVerb.self,
            MapVerb.self, UnmapVerb.self, ReleaseVerb.self,
            JoinVerb.self, TrustVerb.self, LeaveVerb.self, DrainVerb.self, TokenVerb.self,
            JoinLinkVerb.self, RotateMeshKeyVerb.self, RotateNodeKeyVerb.self,
            TableVerb.self, RefreshTableVerb.self,
        ]
    }
}
