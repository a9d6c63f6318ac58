public import PeerWire

/// How much work each session and each membership may make here. Whoever asks for more is told so, and the system is
/// not touched for it.
extension RelayCore {
    /// Memberships that are counted; those that ask for nothing are forgotten within a minute.
    static let maximumWorkloads = 16_384
    /// A port that something else on this machine uses is looked at again after this, whoever asks for any port.
    static let busySpan = Instant.Span.seconds(5)
    /// Looking so many ports up in the tables costs as much as asking the system for one.
    static let lookUpsForOne = 256
    /// How often one mapping may be taken back and asked for again.
    static let cyclesPerSecond = 2
    static let cycleBurst = 16
    static let maximumCycles = 1_024

    /// `nil`: the next frame of this session may be handled now. Otherwise how long it has to wait: whoever sends more
    /// is read more slowly.
    public mutating func wait(for id: SessionID, at now: Instant) -> Instant.Span? {
        guard let account = sessions[id]?.grant.membership else { return nil }
        return sessions[id]?.work.wait(at: now) ?? workloads[account]?.wait(at: now)
    }

    public mutating func countFrame(of id: SessionID, at now: Instant) {
        guard let account = sessions[id]?.grant.membership else { return }
        sessions[id]?.work.countFrame(at: now)
        change(account, now) { $0.countFrame(at: now) }
    }

    /// Takes so many ports from what the session and its membership may ask for; `false`, and nothing is taken, where
    /// that is too much.
    mutating func pay(_ ports: Int, for id: SessionID, _ now: Instant) -> Bool {
        guard let account = sessions[id]?.grant.membership else { return false }
        guard sessions[id]?.work.portsLeft(at: now) ?? 0 >= ports else { return false }
        let isPaid = change(account, now) { work in
            guard work.portsLeft(at: now) >= ports else { return false }
            work.takePorts(ports, at: now)
            return true
        }
        if isPaid { sessions[id]?.work.takePorts(ports, at: now) }
        return isPaid
    }

    private mutating func change<Result>(
        _ account: Grant.Membership, _ now: Instant, _ body: (inout Workload) -> Result
    ) -> Result {
        if workloads[account] == nil {
            if workloads.count >= Self.maximumWorkloads { forgetWorkloads(now) }
            if workloads.count >= Self.maximumWorkloads, let any = workloads.keys.first { workloads[any] = nil }
        }
        return body(&workloads[account, default: Workload(.membership, at: now)])
    }

    /// Those that would be the same if they were begun anew, and ports that are to be looked at again.
    mutating func forgetWorkloads(_ now: Instant) {
        for (account, work) in workloads {
            var work = work
            if work.isUnused(at: now) { workloads[account] = nil }
        }
        busyPorts = busyPorts.filter { $0.value > now }
    }

    /// A mapping was taken back, or asked for while it is there: that is half of a cycle.
    mutating func countCycle(of mapping: MappingID, _ id: SessionID, _ now: Instant) {
        guard var session = sessions[id], session.cycles[mapping] == nil else { return }
        if session.cycles.count >= Self.maximumCycles {
            session.cycles = session.cycles.filter { entry in
                var bucket = entry.value
                return !bucket.isFull(at: now)
            }
        }
        guard session.cycles.count < Self.maximumCycles else { return }
        session.cycles[mapping] = RateBucket(perSecond: Self.cyclesPerSecond, burst: Self.cycleBurst, at: now)
        sessions[id] = session
    }

    /// Whether a mapping may be asked for now, as far as it was taken back and asked for before.
    mutating func mayCycle(_ mapping: MappingID, _ id: SessionID, _ now: Instant) -> Bool {
        sessions[id]?.cycles[mapping]?.take(1, at: now) ?? true
    }

    /// What somebody hears who asks for more.
    static let excessOfWork = "asked for too much at once; this relay looks at it again in some seconds"
    static let excessOfCycles = "taken back and asked for again too often; this relay looks at it again in some seconds"
}
