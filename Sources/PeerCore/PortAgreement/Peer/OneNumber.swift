public import PeerWire

/// Whether a mapping has one public number wherever it is published, and what to do where it has not. Visitors are told
/// hosts by DNS and a number by word of mouth: of two numbers one leads half of them astray. No I/O, no clock.
///
/// The usual number is what most relays gave, also those that are away; of several the one of the relay that is
/// published first. A relay that gave another one is asked for the usual one instead, once that is seen to work
/// elsewhere, and what it refused is not asked for again.
public struct OneNumber: Sendable {
    /// Between two attempts for one mapping at one relay.
    public static let pause = Instant.Span.seconds(300)
    /// Attempts that are remembered, at most.
    public static let capacity = 1_024

    /// A relay that is published and carries the mapping.
    public struct Place: Hashable, Sendable {
        public var relay: NodeKey
        public var ports: PortRange
        /// Reached from outside, all of it.
        public var isVerified: Bool
        /// What the relay gives out, where it says so: other numbers are not worth the moment in which the mapping has
        /// none there.
        public var range: PortRange?
        /// Asked for when the relay gave these, and not given.
        public var denied: PortRange?

        public init(
            relay: NodeKey, ports: PortRange, isVerified: Bool, range: PortRange? = nil, denied: PortRange? = nil
        ) {
            self.relay = relay
            self.ports = ports
            self.isVerified = isVerified
            self.range = range
            self.denied = denied
        }
    }

    private struct Attempt: Hashable, Sendable {
        var mapping: MappingID
        var relay: NodeKey
    }

    /// `wanted` is `nil` where nothing had to be given back for it.
    private var attempts: [Attempt: (at: Instant, wanted: PortRange?)] = [:]

    public init() {}

    /// The relay that is to be asked for other ports now; `nil`: none.
    ///
    /// - Parameters:
    ///   - places: in the order in which they are published.
    ///   - given: what each relay gave last, also those that are away.
    public mutating func exchange(
        of mapping: MappingID, _ places: [Place], given: [PortRange], at now: Instant
    ) -> (relay: NodeKey, ports: PortRange)? {
        guard Set(places.map(\.ports)).count > 1 else { return nil }
        let counts = Dictionary(given.map { ($0, 1) }, uniquingKeysWith: +)
        let most = places.map { counts[$0.ports] ?? 0 }.max()
        guard let usual = places.first(where: { counts[$0.ports] ?? 0 == most })?.ports,
            places.contains(where: { $0.ports == usual && $0.isVerified })
        else { return nil }
        // One at a time, the last first.
        for place in places.reversed() where place.ports != usual && place.ports.count == usual.count {
            if let range = place.range, !range.contains(usual) { continue }
            let attempt = Attempt(mapping: mapping, relay: place.relay)
            if let last = attempts[attempt], last.wanted == usual || now - last.at < Self.pause { continue }
            if attempts[attempt] == nil, attempts.count >= Self.capacity,
                let oldest = attempts.min(by: { $0.value.at < $1.value.at })?.key
            {
                attempts[oldest] = nil
            }
            // What was refused a moment ago is not worth a moment without a number.
            let isDenied = attempts[attempt] == nil && place.denied == usual
            attempts[attempt] = (now, isDenied ? nil : usual)
            if !isDenied { return (place.relay, usual) }
        }
        return nil
    }
}
