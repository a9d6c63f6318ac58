// What commands ask of mappings.

struct MapVerb: Verb {
    static let name = "map"
    let request: MappingRequest
    var delay: String? { "the port is looked at from outside; --view-rpm shows how it stands" }

    enum CodingKeys: String, CodingKey {
        case request = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.map(request, answer)
    }
}

struct UnmapVerb: Verb {
    static let name = "unmap"
    let mapping: String

    enum CodingKeys: String, CodingKey {
        case mapping = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.unmap(mapping, answer)
    }
}

/// On a relay: a public port, or a node.
struct ReleaseVerb: Verb {
    static let name = "release"
    let holder: String

    enum CodingKeys: String, CodingKey {
        case holder = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.release(holder, answer)
    }
}
