public import PeerWire

/// Which nodes may be dialled on others' word, and when. No I/O.
///
/// Rows cost nothing, so what counts is what became of this node's own dials. Where a key was proven it may be dialled
/// again. All others at one host are dialled one at a time, and after a failure the host rests, six times as long each
/// time up to an hour: five dials in the first hour and a quarter, however many rows name it, and whoever wants to dial
/// it. A node that knows enough others does not hurry either: it dials a new host at some moment within two seconds for
/// each row that it has, so that a mesh of thousands does not come down on somebody's address at once.
public struct DialledHosts: Sendable {
    public struct Limits: Hashable, Sendable {
        public var firstPause = Instant.Span.seconds(5)
        public var pauseFactor: UInt64 = 6
        public var longestPause = Instant.Span.seconds(3_600)
        /// A dial whose end nobody told.
        public var dialLimit = Instant.Span.seconds(8)
        /// For so long a key that was proven at a host counts as that host's.
        public var provenSpan = Instant.Span.seconds(3_600)
        /// Hosts that are remembered, proven ones and others each; and keys for each.
        public var hosts = 4_096
        public var keysPerHost = 8
        /// Failures in one network (IPv4 /24, IPv6 /48) in a row, after which all of it rests for `longestPause`.
        public var failuresOfNetwork = 16
        /// Hosts that answered, from which on a node has no hurry.
        public var enough = 8
        /// Rows that cost no delay, and the longest delay.
        public var fewRows = 128
        public var delayPerRow = Instant.Span.seconds(2)
        public var longestDelay = Instant.Span.seconds(1_800)

        public init() {}
    }

    /// A host in a table, or one of its ports where the user has many nodes behind one address.
    private typealias Place = NodeAddress

    private struct Stranger: Sendable {
        var failures: UInt64 = 0
        /// Nothing is dialled there before.
        var until: Instant
        /// A dial is under way since then.
        var since: Instant?
    }

    public let limits: Limits
    /// Each port of a host counts by itself.
    public let byPort: Bool
    private struct Met: Sendable {
        var at: Instant
        /// The last question to it came to nothing.
        var isMissing = false
    }

    private var proven: [HostAddress: [NodeKey: Met]] = [:]
    private var strangers: [Place: Stranger] = [:]
    /// Networks in which nobody has answered, with the failures there and when the last of them was.
    private var silent: [Network: (failures: Int, at: Instant)] = [:]

    /// - Parameter byPort: each port of a host counts by itself, for meshes of many nodes behind few addresses.
    public init(_ limits: Limits = Limits(), byPort: Bool = false) {
        self.limits = limits
        self.byPort = byPort
    }

    /// Keys that were proven at a host lately.
    public func keys(at host: HostAddress, _ now: Instant) -> [NodeKey] {
        proven[host, default: [:]].filter { now - $0.value.at < limits.provenSpan }.map(\.key)
    }

    public func isProven(_ key: NodeKey, at host: HostAddress, _ now: Instant) -> Bool {
        proven[host]?[key].map { now - $0.at < limits.provenSpan } ?? false
    }

    /// Whether it was proven there, and answered when it was last asked.
    public func isThere(_ key: NodeKey, at host: HostAddress, _ now: Instant) -> Bool {
        proven[host]?[key].map { now - $0.at < limits.provenSpan && !$0.isMissing } ?? false
    }

    /// Something that it was asked was not answered.
    public mutating func missed(_ key: NodeKey, at host: HostAddress) { proven[host]?[key]?.isMissing = true }

    /// Hosts that have answered, for tests of the bound and for who wants to know how well this node is connected.
    public var provenCount: Int { proven.count }
    /// Hosts that have not, and are remembered.
    public var strangerCount: Int { strangers.count }

    /// Whether that node may be dialled now. Asking for a host for the first time may set the moment for it.
    ///
    /// - Parameter rows: records in the table.
    public mutating func mayDial(
        _ key: NodeKey, at address: NodeAddress, rows: Int, at now: Instant,
        using random: inout some RandomNumberGenerator
    ) -> Bool {
        if isProven(key, at: address.host, now) { return true }
        if let silence = silent[NetworkSteps(of: address.host).near],
            silence.failures >= limits.failuresOfNetwork, now - silence.at < limits.longestPause
        {
            return false
        }
        let place = place(address)
        if let known = strangers[place] {
            if let since = known.since, now - since < limits.dialLimit { return false }
            return now >= known.until
        }
        guard hasRoom(now) else { return false }
        let delay = delay(rows, using: &random)
        guard delay > .zero else { return true }
        strangers[place] = Stranger(until: now + delay)
        return false
    }

    /// It is being dialled.
    public mutating func begun(_ key: NodeKey, at address: NodeAddress, _ now: Instant) {
        guard !isProven(key, at: address.host, now) else { return }
        strangers[place(address), default: Stranger(until: now)].since = now
    }

    /// The key was proven there.
    public mutating func answered(_ key: NodeKey, at address: NodeAddress, _ now: Instant) {
        // A partner answers every few seconds.
        if let last = proven[address.host]?[key], !last.isMissing, now - last.at < limits.provenSpan / 60 { return }
        strangers[place(address)] = nil
        silent[NetworkSteps(of: address.host).near] = nil
        if proven[address.host] == nil, proven.count >= limits.hosts {
            proven = proven.filter { $0.value.contains { now - $0.value.at < limits.provenSpan } }
            guard proven.count < limits.hosts else { return }
        }
        var keys = proven[address.host, default: [:]]
        if keys[key] == nil, keys.count >= limits.keysPerHost {
            guard let oldest = keys.min(by: { $0.value.at < $1.value.at }) else { return }
            keys[oldest.key] = nil
        }
        keys[key] = Met(at: now)
        proven[address.host] = keys
    }

    /// Nobody answered, or somebody else did. What was proven there stays so for its time: that is for others to judge.
    public mutating func failed(_ key: NodeKey, at address: NodeAddress, _ now: Instant) {
        guard !isProven(key, at: address.host, now) else { return }
        let place = place(address)
        var stranger = strangers[place] ?? Stranger(until: now)
        var pause = limits.firstPause
        for _ in 0..<min(stranger.failures, 16) { pause = min(limits.longestPause, pause * limits.pauseFactor) }
        stranger.failures += 1
        stranger.until = now + pause
        stranger.since = nil
        strangers[place] = stranger
        let near = NetworkSteps(of: address.host).near
        if silent[near] == nil, silent.count >= limits.hosts {
            silent = silent.filter { now - $0.value.at < limits.longestPause }
            guard silent.count < limits.hosts else { return }
        }
        let former = silent[near].flatMap { now - $0.at < limits.longestPause ? $0.failures : nil } ?? 0
        silent[near] = (former + 1, now)
    }

    private func place(_ address: NodeAddress) -> Place {
        byPort ? address : NodeAddress(host: address.host, port: 1) ?? address
    }

    /// Those that rest or wait keep their places; those whose time is over long ago go first.
    private mutating func hasRoom(_ now: Instant) -> Bool {
        guard strangers.count >= limits.hosts else { return true }
        strangers = strangers.filter { $0.value.until + limits.longestPause > now || $0.value.since != nil }
        return strangers.count < limits.hosts
    }

    private func delay(_ rows: Int, using random: inout some RandomNumberGenerator) -> Instant.Span {
        guard proven.count >= limits.enough, rows > limits.fewRows else { return .zero }
        let longest = min(limits.longestDelay, limits.delayPerRow * UInt64(rows))
        return .milliseconds(UInt64.random(in: 0...longest.nanoseconds / 1_000_000, using: &random))
    }
}
