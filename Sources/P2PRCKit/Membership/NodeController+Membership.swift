internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// Who may join this node, and whom it trusts.
extension NodeController {
    /// What the user should know of the address in its join link; `nil` when there is nothing to say.
    var remarkOnAddress: String? {
        guard relay != nil, settings.advertised == nil else { return nil }
        let host = relay?.publicHost ?? Self.ownHost(settings)
        guard let address = HostAddress(host), DialPolicy.isPrivate(address.bytes) else { return nil }
        return "\(host) is a private address; if this machine has a public one, start with --advertise ADDRESS"
    }

    /// For new members, with the best address that is known of this relay.
    var joinLink: JoinLink {
        let address = Endpoint(host: relay?.publicHost ?? Self.ownHost(settings), port: settings.serverPort)
        return JoinLink(
            address: address.description, relay: keys.key, meshKey: settings.isOpen ? nil : meshKey?.current)
    }

    /// An address of this machine, a public one before a private one. Others may reach it by another: `--advertise`.
    static func ownHost(_ settings: NodeSettings) -> String {
        if let bind = settings.bind, !bind.isUnspecified { return bind.hostText }
        return AttachedNetworks.likeliestOwnHost ?? "127.0.0.1"
    }

    func showJoinLink() -> ControlReply {
        guard relay != nil else {
            return ControlReply(
                status: .notFound,
                text: "this node is not a relay, so nobody can join through it; start it with --reverse-proxy",
                document: nil)
        }
        let link = joinLink.text
        return ControlReply(
            status: .success, text: link, document: Self.document(["Join_link": link]),
            remarks: remarkOnAddress.map { ["warning: \($0)"] })
    }

    func trust(_ text: String, _ key: String?, _ answer: @escaping (ControlReply) -> Void) {
        let endpoint: Endpoint
        do throws(CommandError) { endpoint = try relay(called: text, isKnown: true) } catch {
            return answer(ControlReply(error))
        }
        var trusted: NodeKey?
        if let key {
            guard let known = NodeKey(key) else {
                return answer(
                    ControlReply(
                        status: .usage, text: "--key \(key): a key has 64 hexadecimal digits", document: nil))
            }
            trusted = known
        }
        let what = trusted.map { "the key \($0.short)" } ?? "the key that it proves next"
        let done = onLoop { (core: NodeController, error: StorageError?) in
            guard let error else {
                return answer(
                    ControlReply(
                        status: .success, text: "\(endpoint) is trusted with \(what)",
                        document: Self.reply(core.documents().servers).document))
            }
            answer(.unwritten("\(endpoint) is trusted with \(what) now, but not after a restart", error))
        }
        joins.untaught[endpoint] = nil
        peer.change(endpoint, done: done) { $0.trust(trusted, at: endpoint.description) }
    }

    func rotateMeshKey(keepSeconds: Int64) -> ControlReply {
        guard let former = meshKey, let key = MeshKey(bytes: SystemRandomNumberGenerator.bytes(MeshKey.byteCount))
        else {
            return ControlReply(
                status: .notFound, text: "this node has no mesh key of its own; a relay makes one", document: nil)
        }
        let now = WallTime.now
        let renewed = former.rotated(to: key, keepingUntil: now + keepSeconds, now: now)
        do throws(StorageError) { try renewed.save(at: home.paths.meshKey) } catch {
            return ControlReply(status: .homeUnusable, text: "\(error)", document: nil)
        }
        meshKey = renewed
        useMeshKeys(at: now)
        let rest =
            keepSeconds > 0
            ? "the former one counts for \(Age.text(keepSeconds)) more" : "the former one counts no more"
        return ControlReply(
            status: .success, text: "the mesh has a new key; \(rest). New join link, a secret: \(joinLink.text)",
            document: Self.document(["Join_link": joinLink.text]), remarks: remarkOnAddress.map { ["warning: \($0)"] })
    }

    /// Those that count now; looked at again when the next of them ends, for a former key must not live until somebody
    /// happens to restart the node.
    func useMeshKeys(at now: WallTime) {
        if keys.change(meshKeys: meshKey?.keys(at: now) ?? []) { relay?.meshKeysChanged() }
        meshKeyTimer?.cancel()
        meshKeyTimer = nil
        guard let end = meshKey?.nextEnd(after: now) else { return }
        // An hour at most: the wall clock may be set meanwhile, and this one is not.
        let wait = UInt64(clamping: min(end.seconds - now.seconds, 3_600))
        meshKeyTimer = loop.schedule(after: .seconds(wait)) { [weak self] in self?.useMeshKeys(at: .now) }
    }

    static func document(_ members: [String: String]) -> String? {
        (try? OrderedJSON.encode(members)).map { String(decoding: $0, as: UTF8.self) }
    }
}
