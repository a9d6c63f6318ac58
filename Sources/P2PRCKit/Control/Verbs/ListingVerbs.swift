// What commands ask to see.

struct StatusVerb: Verb {
    static let name = "status"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.status(answer)
    }
}

struct ViewServersVerb: Verb {
    static let name = "viewServers"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.viewServers(answer)
    }
}

struct ViewMappingsVerb: Verb {
    static let name = "viewMappings"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.viewMappings(answer)
    }
}

/// Why which relay is chosen.
struct ExplainVerb: Verb {
    static let name = "explain"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        answer(node.explain())
    }
}

struct NetcheckVerb: Verb {
    static let name = "netcheck"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.netcheck(answer)
    }
}
