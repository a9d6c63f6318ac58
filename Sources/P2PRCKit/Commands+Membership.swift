internal import PeerMesh
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Joining and trusting: asked of the running node, or done in the home where none runs.
extension Commands {
    /// - Parameters:
    ///   - text: a join link or an address; `nil`: the link is in the environment; `-`: it comes on standard input.
    ///   - file: where the link is instead.
    ///   - tokenFile: where a token of that relay is; `-`: it comes on standard input.
    public func join(
        _ text: String?, file: String?, tokenFile: String?, acceptsOpen: Bool
    ) async throws(CommandError) -> ExitStatus {
        let token = try tokenFile.map { name throws(CommandError) in try Secrets.read(name, what: "--token-file") }
        let named: String
        if let file {
            named = try Secrets.read(file, what: "--file")
        } else if text == "-" {
            named = try Secrets.read("-", what: "join")
        } else if let text = text ?? SystemFacts.environment(RelayChoice.variable), !text.isEmpty {
            named = text
        } else {
            throw CommandError(
                .usage,
                "join: give a join link, or an address, or - for a link on standard input, or --file FILE, or $\(RelayChoice.variable)"
            )
        }
        let choice = try RelayChoice(named, token: token, acceptsOpen: acceptsOpen, named: "join")
        let request = ControlRequest.join(JoinRequest(relay: named, token: token, acceptsOpen: acceptsOpen))
        return try await through(request) { (memberships, table) throws(StorageError) in
            choice.apply(to: &memberships)
            try await table.save(JoinedRelay(address: choice.endpoint.description, added: UnixTime(.now)))
            let text = "\(choice.endpoint) is joined; the node connects when it starts: p2prc -s"
            return ControlReply(status: .success, text: text, document: nil)
        }
    }

    /// - Parameter key: 64 hexadecimal digits; `nil`: whatever the relay proves next.
    public func trust(_ relay: String, key: String?) async throws(CommandError) -> ExitStatus {
        guard let endpoint = Endpoint(relay, defaultPort: NodeSettings.defaultServerPort) else {
            throw CommandError(.usage, "trust \(relay): write HOST or HOST:PORT")
        }
        let trusted = try key.map { text throws(CommandError) -> NodeKey in
            guard let key = NodeKey(text) else {
                throw CommandError(.usage, "--key \(text): a key has 64 hexadecimal digits")
            }
            return key
        }
        let address = endpoint.description
        return try await through(.trust(relay, key: key)) { (memberships, table) throws(StorageError) in
            let joined = try await table.joinedRelays()
            // Under a mistyped address trust would mend nothing, and be there when somebody comes by it one day.
            guard memberships.relays[address] != nil || joined.contains(where: { $0.address == address }) else {
                return ControlReply(
                    status: .notFound, text: "no relay is called \(relay); --view-rps lists them", document: nil)
            }
            memberships.trust(trusted, at: address)
            let what = trusted.map { "the key \($0.short)" } ?? "the key that it proves next"
            return ControlReply(status: .success, text: "\(endpoint) is trusted with \(what)", document: nil)
        }
    }

    public func joinLink() throws(CommandError) -> ExitStatus { finish(try ask(.joinLink)) }

    /// - Parameter keep: for how long the former key still counts, as `Age` reads it.
    public func rotateMeshKey(keep: String) throws(CommandError) -> ExitStatus {
        guard let seconds = Age.seconds(keep) else {
            throw CommandError(.usage, "--keep \(keep): write a number of days, hours, minutes or seconds, such as 7d or 12h")
        }
        return finish(try ask(.rotateMeshKey(keepSeconds: seconds)))
    }

    // MARK: -

    /// Lets the running node do it, or changes what is known of relays in a home that no node runs with.
    private func through(
        _ request: ControlRequest,
        orInHome body: (inout Memberships, IPTable) async throws(StorageError) -> ControlReply
    ) async throws(CommandError) -> ExitStatus {
        finish(
            try await HomeAccess.answer(to: request, in: home) { held throws(CommandError) in
                do throws(StorageError) {
                    let before = try MembershipFile.load(held.paths)
                    var memberships = before
                    let (table, _) = try IPTable.open(in: held, now: .now)
                    let reply = try await body(&memberships, table)
                    if memberships != before { try await MembershipFile(in: held).save(memberships) }
                    try await table.close()
                    return reply
                } catch { throw CommandError(error) }
            })
    }
}
