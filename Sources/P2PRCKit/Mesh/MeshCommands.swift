internal import FoundationEssentials

/// The commands about relays of the mesh: they ask the running node, for nobody else measures.
extension Commands {
    /// `--view-rps --explain`.
    public func explainServers() throws(CommandError) -> ExitStatus {
        try show(ExplainVerb(), ExplainDocument.self) { TextTable.explain($0) }
    }

    public func netcheck() throws(CommandError) -> ExitStatus {
        try show(NetcheckVerb(), NetcheckDocument.self) { TextTable.netcheck($0) }
    }

    private func show<Document: Decodable>(
        _ verb: some Verb<NodeController>, _: Document.Type, _ table: (Document) -> String
    ) throws(CommandError) -> ExitStatus {
        let reply = try ask(verb)
        guard reply.status == .success, let text = reply.document else {
            throw CommandError(reply.status, reply.text)
        }
        if json {
            Output.document(Array(text.utf8))
            remark(reply)
            return .success
        }
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(text.utf8)) else {
            throw CommandError(.failure, "the node's answer cannot be read: it runs another version; restart it")
        }
        Output.result(table(document))
        remark(reply)
        return .success
    }
}
