// What commands ask about relays, members and keys.

struct JoinVerb: Verb {
    static let name = "join"
    let request: JoinRequest
    var delay: String? { "the relay has not answered yet; it is tried again" }

    enum CodingKeys: String, CodingKey {
        case request = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.join(request, answer)
    }
}

/// The relay, and its key; whatever it proves next without one.
struct TrustVerb: Verb {
    static let name = "trust"
    let relay: String
    let key: String?

    enum CodingKeys: String, CodingKey {
        case relay = "_0"
        case key
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.trust(relay, key, answer)
    }
}

struct LeaveVerb: Verb {
    static let name = "leave"
    let relay: String

    enum CodingKeys: String, CodingKey {
        case relay = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.leave(relay, answer)
    }
}

struct DrainVerb: Verb {
    static let name = "drain"
    let order: DrainOrder

    enum CodingKeys: String, CodingKey {
        case order = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.drain(order, answer)
    }
}

struct TokenVerb: Verb {
    static let name = "token"
    let command: TokenCommand

    enum CodingKeys: String, CodingKey {
        case command = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.token(command, answer)
    }
}

struct JoinLinkVerb: Verb {
    static let name = "joinLink"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        answer(node.showJoinLink())
    }
}

/// Seconds for which the former key still counts.
struct RotateMeshKeyVerb: Verb {
    static let name = "rotateMeshKey"
    let keepSeconds: Int64

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        answer(node.rotateMeshKey(keepSeconds: keepSeconds))
    }
}

/// Seconds for which the former key's name still counts.
struct RotateNodeKeyVerb: Verb {
    static let name = "rotateNodeKey"
    let keepSeconds: Int64

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        answer(node.rotateNodeKey(keepSeconds: keepSeconds))
    }
}
