internal import FoundationEssentials

/// What a command asks of the running node: its fields as they go over the control socket, and what the node does then.
/// A new one is a type, and a line in `Parts.verbs`.
protocol Verb<Node>: Codable, Sendable {
    associatedtype Node: AnyObject

    /// What it is called on the control socket; it stays, for a command may be of another version than the node.
    static var name: String { get }
    /// What is done where that takes seconds, for people; `nil`: nothing of it does.
    var delay: String? { get }
    /// On the control loop.
    ///
    /// - Parameter answer: called once.
    func perform(in node: Node, _ answer: @escaping (ControlReply) -> Void)
}

extension Verb {
    var delay: String? { nil }
}

/// The verbs that a node knows, by their names. On the socket a verb is an object with one member, its name, and the
/// fields in that.
struct VerbTable<Node: AnyObject> {
    private let types: [String: any Verb<Node>.Type]

    init(_ verbs: [any Verb<Node>.Type]) {
        types = Dictionary(verbs.map { ($0.name, $0) }) { first, _ in first }
    }

    var names: Set<String> { Set(types.keys) }

    static func line(of verb: some Verb) throws -> [UInt8] {
        try Array(JSONEncoder().encode([type(of: verb).name: verb])) + [UInt8(ascii: "\n")]
    }

    /// `nil`: another version's, or none.
    func verb(in line: some Collection<UInt8>) -> (any Verb<Node>)? {
        let data = Data(line)
        guard let names = try? JSONDecoder().decode([String: Anything].self, from: data).keys, names.count == 1,
            let type = names.first.flatMap({ types[$0] })
        else { return nil }
        return Self.verb(of: type, in: data)
    }

    private static func verb<Found: Verb<Node>>(of type: Found.Type, in data: Data) -> (any Verb<Node>)? {
        try? JSONDecoder().decode([String: Found].self, from: data)[Found.name]
    }
}

/// A value that is there, whatever it is.
private struct Anything: Decodable {
    init(from decoder: any Decoder) {}
}
