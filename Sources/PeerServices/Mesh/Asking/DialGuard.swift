public import PeerCore
internal import PeerReactor
public import PeerWire

/// Which hosts this node dials on others' word: `DialPolicy`, with the networks that this machine is attached to now,
/// and with what the configuration allows besides (`[mesh] dial`). Any thread may ask.
///
/// Every dial that another party can cause asks here, but for those that go to that party itself, over whose connection
/// the word came. `DialTests` of the architecture list all callers of connect(2), and who may cause each.
public final class DialGuard: Sendable {
    private let widened: [Network]
    private let attached: Locked<[DialPolicy.Attachment]>

    public init(widened: [Network]) {
        self.widened = widened
        attached = Locked(AttachedNetworks.current())
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
        attached.withLock { DialPolicy.allows(host, attachedTo: $0, widened: widened) }
    }

    public func allows(_ host: HostAddress, port: UInt16, for purpose: DialPolicy.Purpose) -> Bool {
        DialPolicy.allows(port: port, for: purpose) && allows(host)
    }

    /// Whether others may dial it on a word of this node: also an address of this machine itself.
    func isDialledByOthers(_ host: HostAddress) -> Bool {
        allows(host) || (isThisMachine(host) && !DialPolicy.isNeverDialled(host.bytes))
    }

    /// Whether the user's configuration names that network: then it is not others' word alone.
    func isNamed(_ host: HostAddress) -> Bool { widened.contains { $0.contains(host) } && allows(host) }

    /// Whether a connection from there may be one that a relay carried here: those come from this machine itself, and
    /// tell nothing of where their callers are.
    func isOwn(_ host: HostAddress) -> Bool {
        if widened.contains(where: { $0.contains(host) }) { return false }
        return isThisMachine(host)
    }

    func isThisMachine(_ host: HostAddress) -> Bool {
        if host.bytes.count == 4 ? host.bytes[0] == 127 : host.bytes.dropLast().allSatisfy({ $0 == 0 }) { return true }
        return attached.withLock { $0.contains { $0.address == host.bytes } }
    }

    /// The address by which others most likely reach this machine.
    var likeliestOwnHost: HostAddress? {
        attached.withLock { DialPolicy.likeliestOwnAddress($0) }.flatMap { HostAddress(bytes: $0) }
    }

    /// Addresses of this machine that others could see, for listings.
    var ownHosts: [HostAddress] {
        attached.withLock { $0.compactMap { HostAddress(bytes: $0.address) } }
    }
}
