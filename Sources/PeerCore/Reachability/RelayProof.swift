public import PeerWire

/// Whether a node that offers to be a relay has been proven to be one. A pure function of its record and of what is
/// known of its witnesses: what the record claims counts for nothing.
public enum RelayProof {
    /// Seconds that a statement holds; longer than it takes a relay to renew it.
    public static let lifetime: Int64 = 2_400
    /// Witnesses that must agree, where there are so many others.
    public static let witnesses = 2

    public enum Verdict: Hashable, Sendable {
        /// Reached by others at this address.
        case proven(NodeAddress)
        case notOffered
        /// Not as many witnesses as it takes: so many fit, so many are needed.
        case tooFewWitnesses(Int, of: Int)
        /// Every address that was proven is one that this node does not dial on others' word.
        case notDialled(NodeAddress)
    }

    /// For how long a verdict holds at most, where the record is the same.
    public static let longestSpan = Instant.Span.seconds(15)
    private static let firstSpan = Instant.Span.seconds(1)

    /// For how long a verdict holds, where the record is the same.
    ///
    /// A witness may be heard of a moment after the record that names it. So where witnesses are wanting it is judged
    /// again soon, after twice as long each time; a record that names none waits for one that does.
    ///
    /// - Parameters:
    ///   - named: statements in the record.
    ///   - count: how often it was judged with this verdict before.
    public static func span(of verdict: Verdict, named: Int, judged count: Int) -> Instant.Span {
        guard case .tooFewWitnesses = verdict, named > 0 else { return longestSpan }
        return min(longestSpan, firstSpan * (1 << UInt64(min(count, 16))))
    }

    /// - Parameters:
    ///   - others: how many other nodes there are that could bear witness, without the relay and this node.
    ///   - isKnown: whether a witness is a node that this one has a record of, or itself: a key alone costs nothing.
    ///   - didReach: whether this node has dialled the relay at that address itself: it is a witness then.
    ///   - hasServed: whether this node's own visitors were served there a while ago: that says more than any witness.
    public static func judge(
        _ record: NodeRecord, time: Int64, others: Int, isKnown: (NodeKey) -> Bool,
        didReach: (NodeAddress) -> Bool, hasServed: (NodeAddress) -> Bool = { _ in false },
        mayDial: (HostAddress) -> Bool,
        isGenuine: (DialBackStatement, NodeKey) -> Bool = { $0.isGenuine(of: $1) }
    ) -> Verdict {
        guard record.roles.contains(.relay) else { return .notOffered }
        let needed = max(1, min(witnesses, others))
        var best = 0
        var refused: NodeAddress?
        for address in record.addresses {
            let fit = record.witnesses.filter { statement in
                statement.address == address && statement.witness != record.key && isKnown(statement.witness)
                    && statement.time <= time + 300 && time - statement.time < lifetime
            }
            // Signatures last, each witness once.
            var keys = Set(fit.filter { isGenuine($0, record.key) }.map(\.witness))
            let reachedByThisNode = didReach(address)
            // Its own dial counts where there is nobody else: reaching a neighbour in one's own network says nothing
            // about visitors.
            if reachedByThisNode, others == 0 { keys.insert(record.key) }
            best = max(best, keys.count)
            guard keys.count >= needed || hasServed(address) else { continue }
            guard mayDial(address.host), DialPolicy.allows(port: address.port, for: .node) else {
                refused = refused ?? address
                continue
            }
            return .proven(address)
        }
        return refused.map { .notDialled($0) } ?? .tooFewWitnesses(best, of: needed)
    }
}
