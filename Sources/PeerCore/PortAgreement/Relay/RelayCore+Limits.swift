internal import PeerWire

/// Which limits of its membership a request would pass, and that in words.
extension RelayCore {
    func excess(of request: PeerMessage.Request, by claim: Claim, _ grant: Grant) -> String? {
        guard !isSpared(claim, request.target, request.wish.count, grant.membership) else { return nil }
        let mappings = ledger.use(of: grant.membership, without: claim).mappings
        if let limit = policy.limits(of: grant).mappings, mappings >= limit {
            return
                "\(grant.membership.may(have: Self.count(limit, "mapping"))): \(targets(besides: claim, grant, limit))"
        }
        return excessOfPorts(request, by: claim, grant)
    }

    func excessOfPorts(_ request: PeerMessage.Request, by claim: Claim, _ grant: Grant) -> String? {
        let count = request.wish.count
        guard !isSpared(claim, request.target, count, grant.membership) else { return nil }
        // What is on the account already is no more of it: under a limit that was lowered, its mappings would otherwise
        // stand in each other's way, and none of them came back.
        if let lease = leases[claim], lease.account == grant.membership, lease.ports.count >= count { return nil }
        let ports = ledger.use(of: grant.membership, without: claim).ports
        guard let limit = policy.limits(of: grant).leases, ports + count > limit else { return nil }
        return "\(grant.membership.may(have: Self.count(limit, "port"))): \(ports) of them in use"
    }

    /// What a request wants that its grant does not give.
    func trespass(of request: PeerMessage.Request, _ grant: Grant) -> String? {
        let holder = grant.membership.holder
        if !grant.allows(request.protocols) {
            return "\(holder) allows \(grant.protocols == .udp ? "UDP" : "TCP") only"
        }
        guard let granted = grant.portsText else { return nil }
        switch request.wish {
        case .exactly(let ports): return grant.allows(ports) ? nil : "\(holder) allows ports \(granted)"
        case .any, .preferably:
            let count = request.wish.count
            let places = grant.places(within: policy.ports)
            guard places.contains(where: { $0.count >= count }) else {
                return "\(holder) allows ports \(granted), and no \(count) in a row of those are given out here"
            }
            return takesLastPort(request, grant, places)
                ? "\(holder) has no port to spare for p2prc's own; --no-server-port leaves it out" : nil
        }
    }

    /// Whether it is a peer's own server port, and a token's ports are no more than its holder needs for what it
    /// exposes.
    private func takesLastPort(_ request: PeerMessage.Request, _ grant: Grant, _ places: [PortRange]) -> Bool {
        guard case .token = grant.membership, request.target == HostText.serverPort else { return false }
        let limits = policy.limits(of: grant)
        let wanted = min(limits.mappings ?? .max, limits.leases ?? .max)
        return places.reduce(0) { $0 + $1.count } <= (wanted == .max ? 1 : wanted)
    }

    /// A token's holder has one port beside what is counted: its node's own server port, which it exposes by itself.
    /// The relay has only the peer's word for what a mapping is, so it is one for each token, whatever else is called
    /// so.
    func isSpared(_ claim: Claim, _ target: String, _ count: Int, _ account: Grant.Membership) -> Bool {
        guard case .token = account, count == 1, target == HostText.serverPort else { return false }
        return ledger.spares(claim, on: account)
    }

    /// Where they lead, as far as there are few.
    private func targets(besides claim: Claim, _ grant: Grant, _ limit: Int) -> String {
        guard case .token = grant.membership, limit <= 4, let session = live[claim.key].flatMap({ sessions[$0] }) else {
            return "all in use"
        }
        let others = session.mappings.sorted { $0.value < $1.value }.compactMap { mapping -> String? in
            let other = Claim(key: claim.key, mapping: mapping)
            guard other != claim, let request = agreements[other]?.request,
                !isSpared(other, request.target, request.wish.count, grant.membership)
            else { return nil }
            return String(request.target.prefix(64))
        }
        return others.isEmpty ? "all in use" : others.joined(separator: ", ")
    }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// `port 80 is` or `ports 80-81 are`.
    static func subject(_ ports: PortRange) -> String { ports.count == 1 ? "port \(ports) is" : "ports \(ports) are" }
}

extension RelayCore.Policy {
    /// Of one mapping.
    func maximumPorts(for protocols: TransportProtocols) -> Int {
        min(maximumPortsPerMapping, maximumSocketsPerMapping / (protocols == [.tcp, .udp] ? 2 : 1))
    }
}

extension Grant.Membership {
    /// What it is to whom it belongs.
    var holder: String {
        switch self {
        case .token: "your token"
        case .mesh, .openRelay: "your membership"
        }
    }

    /// On whose account so much is, for people.
    func may(have what: String) -> String {
        switch self {
        case .token: "your token allows \(what)"
        case .mesh(let network), .openRelay(let network): "nodes from \(network) may have \(what) together"
        }
    }
}
