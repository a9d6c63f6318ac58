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
        if let reply = try askIfRunning(.join(JoinRequest(relay: named, token: token, acceptsOpen: acceptsOpen))) {
            return finish(reply)
        }
        try await inHome { (memberships, table) throws(StorageError) in
            choice.apply(to: &memberships)
            try await table.save(JoinedRelay(address: choice.endpoint.description, added: UnixTime(.now)))
        }
        Output.result("\(choice.endpoint) is joined; the node connects when it starts: p2prc -s")
        return .success
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
        if let reply = try askIfRunning(.trust(relay, key: key)) { return finish(reply) }
        let address = endpoint.description
        var isKnown = false
        try await inHome { (memberships, table) throws(StorageError) in
            let joined = try await table.joinedRelays()
            isKnown = memberships.relays[address] != nil || joined.contains { $0.address == address }
            if isKnown { memberships.trust(trusted, at: address) }
        }
        // Under a mistyped address trust would mend nothing, and be there when somebody comes by that address one day.
        guard isKnown else { throw CommandError(.notFound, "no relay is called \(relay); --view-rps lists them") }
        Output.result("\(endpoint) is trusted with \(trusted.map { "the key \($0.short)" } ?? "the key that it proves next")")
        return .success
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

    /// `nil` when no node runs.
    func askIfRunning(_ request: ControlRequest) throws(CommandError) -> ControlReply? {
        guard let paths = try inspect() else { return nil }
        return try ControlClient.ask(request, socket: paths.controlSocket)
    }

    /// Changes what is known of relays in a home that no node runs with.
    private func inHome(
        _ body: (inout Memberships, IPTable) async throws(StorageError) -> Void
    ) async throws(CommandError) {
        let home = try HomeAccess.open(home)
        defer { home.close() }
        do throws(StorageError) {
            var memberships = try MembershipFile.load(home.paths)
            let (table, _) = try IPTable.open(in: home, now: .now)
            try await body(&memberships, table)
            try await MembershipFile(in: home).save(memberships)
            try await table.close()
        } catch {
            throw HomeAccess.commandError(error)
        }
    }
}
