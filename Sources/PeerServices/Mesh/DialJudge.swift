internal import PeerMesh
internal import PeerReactor
public import PeerWire

/// Which hosts this node dials on others' word: `DialPolicy`, with the networks that this machine is attached to now,
/// and with what the configuration allows besides (`[mesh] dial`). Any thread may ask.
public final class DialJudge: Sendable {
    private let widened: [Network]
    private let attached: Guarded<[DialPolicy.Attachment]>

    public init(widened: [Network]) {
        self.widened = widened
        attached = Guarded(AttachedNetworks.current())
    }

    /// Looks at this machine's addresses anew; whether they are others than before.
    func refresh() -> Bool {
        let current = AttachedNetworks.current()
        return attached.withLock { attached in
            guard attached != current else { return false }
            attached = current
            return true
        }
    }

    public func allows(_ host: HostAddress) -> Bool {
        if widened.contains(where: { $0.contains(host) }) { return true }
        return attached.withLock { DialPolicy.allows(host.bytes, attachedTo: $0) }
    }

    /// Whether a connection from there may be one that a relay carried here: those come from this machine itself, and
    /// tell nothing of where their callers are.
    func isOwn(_ host: HostAddress) -> Bool {
        if widened.contains(where: { $0.contains(host) }) { return false }
        if host.bytes.count == 4 ? host.bytes[0] == 127 : host.bytes.dropLast().allSatisfy({ $0 == 0 }) { return true }
        return attached.withLock { $0.contains { $0.address == host.bytes } }
    }

    /// Addresses of this machine that others could see, for listings.
    var ownHosts: [HostAddress] {
        attached.withLock { $0.compactMap { HostAddress(bytes: $0.address) } }
    }
}
