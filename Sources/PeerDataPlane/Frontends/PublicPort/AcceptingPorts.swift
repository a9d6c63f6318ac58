package import PeerCore
package import PeerReactor
package import PeerWire

/// Where the sessions are whose ports a relay accepts on.
package protocol SessionDirectory: AnyObject {
    /// Where a session comes from and what its visitors are held to; `nil` when this lane has no such session.
    func terms(of session: SessionID) -> (source: HostAddress?, quota: VisitorQuota?)?
    /// What is in use when a stream with this descriptor has come, after what can be spared was closed.
    func load(with stream: borrowing Stream) -> ReserveGate.Load
}

/// The relay's public ports on one loop. A visitor that is accepted is dealt to one of the lanes, where it stays.
package final class AcceptingPorts: Frontend {
    /// What is known of a visitor that was accepted, on its way to the lane that serves it.
    package struct AcceptedVisitor: Sendable {
        fileprivate let address: SocketAddress
        fileprivate let claim: Claim
        fileprivate let offset: UInt16
        fileprivate let session: SessionID
        fileprivate let filter: NetworkFilter
    }

    /// Takes a visitor to another lane.
    package typealias Deal = @Sendable (StreamParcel, AcceptedVisitor) -> Void

    private weak var lane: Lane?
    private let loop: EventLoop
    private let sessions: any SessionDirectory
    private let policy: VisitorPolicy
    private let ranShort: @Sendable (UInt64) -> Void
    /// By how many ports each is after its claim's first one.
    private var accepting: [Claim: [UInt16: Listener]] = [:]
    private var nextTurn = 0
    /// Visitors refused for want of descriptors, and not told yet.
    private var short: UInt64 = 0

    /// - Parameters:
    ///   - policy: this lane's share of it.
    ///   - ranShort: told with each tick how many were refused for want of descriptors, if any.
    package init(
        on lane: Lane, sessions: any SessionDirectory, policy: VisitorPolicy,
        ranShort: @escaping @Sendable (UInt64) -> Void
    ) {
        self.lane = lane
        loop = lane.loop
        self.sessions = sessions
        self.policy = policy
        self.ranShort = ranShort
    }

    // MARK: Ports

    /// - Parameters:
    ///   - listeners: each with how many ports it is after the first one.
    ///   - isAll: no others of the claim accept any more.
    ///   - session: that the ports belong to.
    ///   - filter: whom the mapping lets in, of those that the relay lets in.
    ///   - others: the lanes that visitors are dealt to beside this one, in turn.
    package func listen(
        _ claim: Claim, _ listeners: [(offset: UInt16, listener: Listener)], isAll: Bool, for session: SessionID,
        _ filter: NetworkFilter, others: [Deal]
    ) {
        if isAll { pause(claim) }
        for (offset, listener) in listeners {
            accepting[claim, default: [:]][offset] = listener
            do throws(SystemError) {
                try listener.accept(on: loop) { [weak self] stream, address in
                    guard let self else { return }
                    let accepted = AcceptedVisitor(
                        address: address, claim: claim, offset: offset, session: session, filter: filter)
                    nextTurn = (nextTurn + 1) % (others.count + 1)
                    guard nextTurn > 0 else { return came(stream, accepted) }
                    others[nextTurn - 1](StreamParcel(stream), accepted)
                }
            } catch {
                // A port that nobody accepts on must refuse.
                listener.pause()
            }
        }
    }

    /// - Parameter only: these ports alone, by how many they are after the first one.
    package func pause(_ claim: Claim, _ only: Set<UInt16>? = nil) {
        guard let only else {
            for (_, listener) in accepting.removeValue(forKey: claim) ?? [:] { listener.stopAccepting() }
            return
        }
        for offset in only { accepting[claim]?.removeValue(forKey: offset)?.stopAccepting() }
    }

    package func timePassed() {
        for (_, listener) in accepting.values.joined() { short += listener.takeTurnedAway() }
        if short > 0 { ranShort(short) }
        short = 0
    }

    // MARK: Visitors

    /// A visitor was dealt to this lane.
    package func came(_ stream: consuming Stream, _ accepted: AcceptedVisitor) {
        guard let lane else { return }
        let destination = Destination.claim(accepted.claim)
        lane.count(destination) { $0.connections += 1 }
        guard let terms = admit(stream, accepted, lane.visits(to: destination)) else {
            return lane.count(destination) { $0.refused += 1 }
        }
        lane.take(Call(stream, terms))
    }

    /// `nil` when the visitor is not let in.
    private func admit(_ stream: borrowing Stream, _ accepted: AcceptedVisitor, _ carried: Int) -> Call.Terms? {
        guard let (source, quota) = sessions.terms(of: accepted.session) else { return nil }
        let load = sessions.load(with: stream)
        guard policy.reserve.admits(.visitor(carried: carried), at: load) else {
            if policy.reserve.isShortOfDescriptors(at: load) { short += 1 }
            return nil
        }
        let isAdmitted = admits(accepted.address, accepted.filter)
        // The peer's own check of a mapping that is for others.
        guard isAdmitted || source != nil && HostAddress(bytes: accepted.address.hostBytes) == source else {
            return nil
        }
        var terms = Call.Terms(
            to: .claim(accepted.claim), portOffset: accepted.offset, caller: isAdmitted ? .visitor : .checker)
        terms.session = accepted.session
        terms.source = accepted.address
        if let quota {
            guard let slot = quota.admit(at: loop.now) else { return nil }
            terms.slot = slot
            terms.allowance = quota.allowance
        }
        return terms
    }

    private func admits(_ address: SocketAddress, _ filter: NetworkFilter) -> Bool {
        guard !filter.isForEverybody || !policy.filter.isForEverybody else { return true }
        guard let host = HostAddress(bytes: address.hostBytes) else { return false }
        return filter.admits(host, and: policy.filter)
    }
}
