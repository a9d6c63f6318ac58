internal import PeerCore
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
        let token = try tokenFile.map { name throws(CommandError) in try SecretInput.read(name, what: "--token-file") }
        let named: String
        if let file {
            named = try SecretInput.read(file, what: "--file")
        } else if text == "-" {
            named = try SecretInput.read("-", what: "join")
        } else if let text = text ?? SystemFacts.environment(RelayChoice.variable), !text.isEmpty {
            named = text
        } else {
            throw CommandError(
                .usage,
                "join: give a join link, or an address, or - for a link on standard input, or --file FILE, or "
                    + "$\(RelayChoice.variable)"
            )
        }
        let choice = try RelayChoice(named, token: token, acceptsOpen: acceptsOpen, named: "join")
        let verb = JoinVerb(request: JoinRequest(relay: named, token: token, acceptsOpen: acceptsOpen))
        let relay = choice.endpoint
        return try await through(verb) { (memberships, _) throws(CommandError) in
            if let link = choice.link, let key = memberships.contradiction(to: link, at: relay.description) {
                throw CommandError(
                    .usage,
                    "\(relay): this link names the key \(link.relay.short), the relay proved \(key.short) before; copy "
                        + "the link again. If the relay has another key by now, leave it first: p2prc leave \(relay). "
                        + "Nothing has changed")
            }
            choice.apply(to: &memberships)
            let text =
                "\(relay) is kept, untried: the node connects when it starts (p2prc -s); "
                + "p2prc leave \(relay) takes it back"
            let joined = JoinedRelay(address: relay.description, added: UnixTime(.now))
            return Change(text) { table throws(StorageError) in try await table.save(joined) }
        }
    }

    /// - Parameter relay: its address, or what it calls itself.
    public func leave(_ relay: String) async throws(CommandError) -> ExitStatus {
        try await through(LeaveVerb(relay: relay)) { (memberships, table) throws(CommandError) in
            let joined: [JoinedRelay]
            let nodes: [KnownNode]
            do throws(StorageError) {
                (joined, nodes) = (try await table.joinedRelays(), try await table.nodes())
            } catch {
                throw CommandError(error)
            }
            let places = joined.compactMap { Endpoint($0.address, defaultPort: NodeSettings.defaultServerPort) }
            let address = Endpoint(relay, defaultPort: NodeSettings.defaultServerPort)
            let met = nodes.filter { $0.role == .relay }.map { (name: $0.name, place: Endpoint($0.address)) }
            let meant = met.filter { $0.name == relay || $0.place == address }.compactMap(\.place)
            let kept = Set(places).union(memberships.relays.keys.compactMap { Endpoint($0) })
            let found: Endpoint
            if let address, kept.contains(address) {
                found = address
            } else {
                let named = meant.filter(kept.contains)
                guard !named.isEmpty || meant.isEmpty else {
                    throw CommandError(
                        .notFound,
                        "\(relay) is no relay that was named here: this node found it by itself, and nothing is kept "
                            + "of it; to use only those that you name: relays = 0 in config.toml")
                }
                found = try RelayNames.only(named, called: relay)
            }
            let known = memberships[found.description]
            let keepsMeshKey = memberships.leave(
                found.description, usesOthers: places.contains { $0 != found })
            return Change("\(found) is left\(known.forgotten(keepsMeshKey: keepsMeshKey))") {
                table throws(StorageError) in
                // As it was typed.
                for row in joined where Endpoint(row.address, defaultPort: NodeSettings.defaultServerPort) == found {
                    try await table.removeJoinedRelay(row.address)
                }
            }
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
        return try await through(TrustVerb(relay: relay, key: key)) { (memberships, table) throws(CommandError) in
            let joined: [JoinedRelay]
            do throws(StorageError) { joined = try await table.joinedRelays() } catch { throw CommandError(error) }
            // Under a mistyped address trust would mend nothing, and be there when somebody comes by it one day.
            guard memberships.relays[address] != nil || joined.contains(where: { $0.address == address }) else {
                throw CommandError(.notFound, "no relay is called \(relay); --view-rps lists them")
            }
            memberships.trust(trusted, at: address)
            let what = trusted.map { "the key \($0.short)" } ?? "the key that it proves next"
            return Change("\(endpoint) is trusted with \(what)")
        }
    }

    public func joinLink() throws(CommandError) -> ExitStatus { finish(try ask(JoinLinkVerb())) }

    /// - Parameter keep: for how long the former key still counts, as `Age` reads it.
    public func rotateMeshKey(keep: String) throws(CommandError) -> ExitStatus {
        guard let seconds = Age.seconds(keep) else {
            throw CommandError(
                .usage, "--keep \(keep): write a number of days, hours, minutes or seconds, such as 7d or 12h")
        }
        return finish(try ask(RotateMeshKeyVerb(keepSeconds: seconds)))
    }

    // MARK: -

    /// What a command does in a home: what it says then, and what it changes in the table.
    private struct Change {
        var text: String
        var inTable: (IPTable) async throws(StorageError) -> Void

        init(_ text: String, inTable: @escaping (IPTable) async throws(StorageError) -> Void = { _ in }) {
            self.text = text
            self.inTable = inTable
        }
    }

    /// Lets the running node do it, or changes what is known of relays in a home that no node runs with: both files, or
    /// none of them.
    private func through(
        _ verb: some Verb<NodeController>,
        orInHome body: (inout KnownRelays, IPTable) async throws(CommandError) -> Change
    ) async throws(CommandError) -> ExitStatus {
        finish(
            try await HomeAccess.answer(to: verb, in: home) { held throws(CommandError) in
                let before: KnownRelays
                let table: IPTable
                do throws(StorageError) {
                    before = try MembershipFile.load(held.paths)
                    table = try IPTable.open(in: held, now: .now).table
                } catch { throw CommandError(error) }
                var memberships = before
                let change = try await body(&memberships, table)
                let file = MembershipFile(in: held, saved: before)
                do throws(StorageError) {
                    try await file.save(memberships)
                    do throws(StorageError) { try await change.inTable(table) } catch {
                        try? await file.save(before)
                        throw error
                    }
                    try await table.close()
                } catch { throw CommandError(error) }
                return ControlReply(status: .success, text: change.text, document: nil)
            })
    }
}
