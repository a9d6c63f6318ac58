// What commands ask of the IP table.

struct TableVerb: Verb {
    static let name = "table"
    let command: TableCommand

    enum CodingKeys: String, CodingKey {
        case command = "_0"
    }

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.table(command, answer)
    }
}

/// Exchange records with others now.
struct RefreshTableVerb: Verb {
    static let name = "refreshTable"

    func perform(in node: NodeController, _ answer: @escaping (ControlReply) -> Void) {
        node.refresh(answer)
    }
}
