public import PeerWire

/// What is known of the service behind each port of a mapping; by how many ports it is after the first one.
public struct TargetStates: Hashable, Sendable {
    /// Those that answered.
    public var answering: Set<UInt16>
    /// Those that did not, and what is to be said of it. Of all others nothing is known yet.
    public var silent: [UInt16: String]

    public init(answering: Set<UInt16> = [], silent: [UInt16: String] = [:]) {
        self.answering = answering
        self.silent = silent
    }

    /// All of so many ports answer.
    public static func answering(_ count: Int) -> TargetStates {
        TargetStates(answering: Set((0..<count).map { UInt16($0) }))
    }
}

/// What is known of the services behind a mapping's ports, of each protocol by itself: on one number they come and go
/// apart.
public struct ServiceStates: Hashable, Sendable {
    public var tcp: TargetStates
    public var udp: TargetStates
    /// The one for UDP is on another machine, and so is taken to be there until it refuses.
    public var isUnseen = false

    public init(tcp: TargetStates = TargetStates(), udp: TargetStates = TargetStates()) {
        self.tcp = tcp
        self.udp = udp
    }

    /// All of so many ports answer, whatever the protocol.
    public static func answering(_ count: Int) -> ServiceStates {
        ServiceStates(tcp: .answering(count), udp: .answering(count))
    }

    /// - Parameter transport: TCP or UDP.
    public subscript(transport: TransportProtocols) -> TargetStates {
        get { transport == .udp ? udp : tcp }
        set { if transport == .udp { udp = newValue } else { tcp = newValue } }
    }

    /// What a relay hears of a mapping, for a port is open there or not, whatever it carries: it is down where every
    /// service of it is, and up as soon as one answers.
    public func together(_ protocols: TransportProtocols) -> TargetStates {
        guard protocols == [.tcp, .udp] else { return self[protocols] }
        return TargetStates(
            answering: tcp.answering.union(udp.answering), silent: tcp.silent.filter { udp.silent[$0.key] != nil })
    }
}
