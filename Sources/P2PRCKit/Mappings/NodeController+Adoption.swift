internal import PeerCore
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// Which mapping a request means, and whom it lets in.
extension NodeController {
    var mappingNames: MappingNames { MappingNames(wishes: peer.allWishes, exposed: peer.mappings()) }

    /// A mapping that was asked for, before it is made.
    struct Adoption {
        enum Kind { case new, changed, same }
        var wish: MappingWish
        var kind: Kind
        /// It ends with this process.
        var isTemporary: Bool
        /// Others of the same service, which get the same filter.
        var siblings: [MappingWish] = []
        /// What has to be on the disk before any of it counts.
        var toWrite: [MappingWish] = []
        /// What the user may not expect.
        var remark: String?
    }

    /// Takes over a mapping that was asked for before, or makes a new one. The same target and ports are one mapping,
    /// and so is what has the same name.
    func adoption(of request: MappingRequest) -> Adoption {
        let siblings = mappingNames.siblings(of: request.target, count: request.count)
        let known = meant(by: request)
        var wish =
            known
            ?? MappingWish(
                id: MappingID(value: UInt64.random(in: 1 ... .max)), target: request.target,
                protocols: request.protocols ?? .tcp, ports: request.wish)
        if known == nil, let former = siblings.first(where: { !$0.allow.isEmpty || !$0.deny.isEmpty }) {
            // Whoever is kept out at one port of a service is not let in at another that is opened later.
            (wish.allow, wish.deny) = (former.allow, former.deny)
        }
        // For other visitors, where it says whom: without a word about them, nobody more is let in than before.
        if request.isFilter { (wish.allow, wish.deny) = (request.allow, request.deny) }
        wish.announcedAs = request.tell ?? wish.announcedAs
        wish.name = request.name ?? wish.name
        wish.isOnDemand = request.isOnDemand ?? wish.isOnDemand
        wish.proxyProtocol = request.proxyProtocol ?? wish.proxyProtocol
        var adoption = Adoption(
            wish: wish, kind: known == nil ? .new : known == wish ? .same : .changed,
            isTemporary: known.map { peer.isTemporary($0.id) } ?? request.isTemporary)
        if known != nil, adoption.isTemporary, !request.isTemporary {
            (adoption.kind, adoption.isTemporary) = (.changed, false)
        } else if known != nil, !adoption.isTemporary, request.isTemporary {
            adoption.remark = "this mapping was made without --temporary before, and stays"
        }
        if request.isFilter, request.name?.isEmpty != false {
            adoption.siblings = siblings.filter { $0.id != wish.id }.map { sibling in
                var sibling = sibling
                (sibling.allow, sibling.deny) = (request.allow, request.deny)
                return sibling
            }
        }
        if !request.isTemporary {
            adoption.toWrite =
                (adoption.kind == .same ? [] : [wish]) + adoption.siblings.filter { !peer.isTemporary($0.id) }
        }
        return adoption
    }

    func carryOut(_ adoption: Adoption) {
        switch adoption.kind {
        case .new: peer.add(adoption.wish, isTemporary: adoption.isTemporary)
        case .changed:
            if !adoption.isTemporary { peer.keep(adoption.wish.id) }
            peer.change(adoption.wish)
        case .same: break
        }
        for sibling in adoption.siblings { peer.change(sibling) }
    }

    /// Given together with `-s`: nobody waits for an answer, so it counts at once and is written down when that is
    /// possible.
    func mapAtStart(_ request: MappingRequest) {
        let adoption = adoption(of: request)
        carryOut(adoption)
        for wish in adoption.toWrite { keep(wish) }
    }

    /// The one of its name; else one of the same target that is asked for in the same way, or has these ports already.
    private func meant(by request: MappingRequest) -> MappingWish? {
        let names = mappingNames
        if let name = request.name, !name.isEmpty, let named = names.wishes.first(where: { $0.name == name }) {
            return named
        }
        let alike = names.wishes.filter { wish in
            guard wish.target == request.target, wish.ports.count == request.count,
                wish.protocols == request.protocols ?? .tcp
            else { return false }
            // Another name is another mapping.
            if let name = request.name, !name.isEmpty, !wish.name.isEmpty { return false }
            if case .any = request.wish { return true }
            guard wish.ports != request.wish else { return true }
            guard case .exactly(let ports) = request.wish else { return false }
            return names.exposed.contains { $0.wish.id == wish.id && $0.ports == ports }
        }
        return alike.min {
            ($0.ports == request.wish ? 0 : 1, $0.id.value) < ($1.ports == request.wish ? 0 : 1, $1.id.value)
        }
    }

    /// Why a request cannot be meant: its name is another service's.
    func conflict(of request: MappingRequest) -> String? {
        guard let name = request.name, !name.isEmpty, let named = peer.allWishes.first(where: { $0.name == name }),
            named.target != request.target || named.ports.count != request.count
                || named.protocols != request.protocols ?? .tcp
        else { return nil }
        return
            "--name \(name): that is \(PeerService.text(named.target)) already; choose another name, or take that one "
            + "back: p2prc unmap \(name)"
    }

    /// Whom the ports of a service let in that a filter has just been set for; `nil`: none has.
    func reach(of request: MappingRequest) -> String? {
        guard request.isFilter else { return nil }
        let names = mappingNames
        let filter = NetworkFilter(allow: request.allow, deny: request.deny)
        let meant = names.siblings(of: request.target, count: request.count)
            .filter { $0.allow == request.allow && $0.deny == request.deny }
        let addresses = meant.flatMap { wish in names.addresses(wish) }
        guard !addresses.isEmpty else { return nil }
        return "visitors \(filter.words ?? "from everywhere") at \(addresses.joined(separator: ", "))"
    }

    /// Why nothing can be taken back under that name.
    func nobodys(_ name: String) -> String {
        let port = UInt16(name) ?? HostText.parts(name)?.port
        if let port, let lease = relay?.leases.first(where: { $0.ports.ports.contains(port) }) {
            return "port \(port) is what this relay carries for \(lease.peerName) (\(lease.key.short)); "
                + "to end that: p2prc release \(port)"
        }
        return "no mapping is called \(name); --view-rpm lists them"
    }
}
