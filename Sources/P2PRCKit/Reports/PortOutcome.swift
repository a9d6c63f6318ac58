internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerWire

/// What became of the ports of one mapping at one relay, in words. A pure function of the row.
struct PortOutcome {
    private let row: ExposedMapping
    /// Each port by itself; of two services behind it the one for TCP counts. One for UDP may begin only when it was
    /// asked to over TCP, as iperf3's does.
    private let standings: [PeerPortAgreement.Standing]

    init(_ row: ExposedMapping) {
        self.row = row
        standings = row.standings(of: row.wish.protocols.contains(.tcp) ? .tcp : .udp)
    }

    private var states: [MappingState] { standings.map(\.state) }

    /// Every port works.
    var isWhole: Bool { !standings.isEmpty && standings.allSatisfy(\.isWorking) }

    /// A line for each port that does; one that was not tried at the host which visitors are told is not verified.
    var working: [String] {
        states.indices.filter { standings[$0].isWorking }.map { "\(address($0)) -> \(target($0)) \(states[$0])" }
    }

    /// What is to be said of those that work and are not verified.
    var untried: String? { standings.first { $0.isWorking && $0.state != .verified }?.reason }

    /// What is to be said of those that work for TCP alone.
    var silentDatagrams: String? {
        guard row.wish.protocols == [.tcp, .udp] else { return nil }
        let silent = row.services.udp.silent.filter {
            standings.indices.contains(Int($0.key)) && standings[Int($0.key)].isWorking
        }
        guard let (offset, reason) = silent.min(by: { $0.key < $1.key }) else { return nil }
        let others = silent.count > 1 ? ", and so with \(silent.count - 1) more of its ports" : ""
        return "\(reason); \(address(Int(offset))) works for UDP as soon as that changes\(others)"
    }

    /// `nil` while some port is neither verified nor known not to work, unless nobody waits for it any longer. The
    /// worst of the ports counts.
    func reply(isLate: Bool) -> ControlReply? {
        let isPending = row.standings.contains { $0.state == .active && !$0.isWorking }
        guard !isPending || isLate && standings.contains(where: { $0.state != .active || $0.isWorking }) else {
            return nil
        }
        let status: ExitStatus =
            states.contains(.unreachable)
            ? .unreachable : isPending ? .timedOut : states.contains(.targetDown) ? .targetDown : .success
        return ControlReply(
            status: status, text: complaints.joined(separator: "\n"), results: working, document: nil)
    }

    private static let maximumComplaints = 8

    /// A line for each run of ports that do not work; of very many the first, and how many ports the others are.
    private var complaints: [String] {
        let wrong = runs.filter { complaint($0) != nil }
        let rest = wrong.dropFirst(Self.maximumComplaints).reduce(0) { $0 + $1.count }
        let named = wrong.prefix(Self.maximumComplaints).compactMap(complaint)
        return rest == 0 ? named : named + ["the same of \(rest) more of its ports; --view-rpm shows which"]
    }

    /// Neighbours of whom the same is to be said.
    private var runs: [ClosedRange<Int>] {
        var runs: [ClosedRange<Int>] = []
        for offset in states.indices {
            if let last = runs.last, states[last.lowerBound] == states[offset],
                standings[last.lowerBound].isWorking == standings[offset].isWorking
            {
                runs[runs.count - 1] = last.lowerBound...offset
            } else {
                runs.append(offset...offset)
            }
        }
        return runs
    }

    private func complaint(_ run: ClosedRange<Int>) -> String? {
        let first = run.lowerBound
        let isOne = run.count == 1
        let reason = standings[first].reason
        switch states[first] {
        case .targetDown:
            let silence = isOne ? reason ?? "\(target(first)) does not answer" : "\(targets(run)) do not answer"
            let (yours, works) = isOne ? ("is", "works as soon as it does") : ("are", "work as soon as they do")
            let promise = "\(yours) yours and \(works)\(transport(first))"
            return "\(silence); \(addresses(run)) \(promise)"
        case .unreachable:
            let verb = isOne ? "is" : "are"
            let cause = reason ?? "no answer"
            return "\(addresses(run)) \(verb) agreed but not reachable: \(cause); \(MapOutcome.cure(row))"
        case .active where standings[first].isWorking: return reason.map { "\(addresses(run)) \($0)" }
        case .active: return "\(addresses(run)): not settled in time; --view-rpm shows how it goes on"
        case .verified, .requested, .bound, .committed, .refused, .offline: return nil
        }
    }

    /// Where the other protocol's service answers.
    private func transport(_ offset: Int) -> String {
        let all = row.wish.protocols.each
        let silent = all.filter { row.services[$0].silent[UInt16(offset)] != nil }
        guard silent.count < all.count, let only = silent.first else { return "" }
        return only == .udp ? " for UDP" : " for TCP"
    }

    private func address(_ offset: Int) -> Endpoint {
        Endpoint(host: row.host ?? row.relay.host, port: (row.ports?.first ?? 0) &+ UInt16(offset))
    }

    private func target(_ offset: Int) -> String {
        guard case .service(let host, let port) = row.wish.target else { return row.targetText }
        return Endpoint(host: host, port: port &+ UInt16(offset)).description
    }

    private func addresses(_ run: ClosedRange<Int>) -> String { address(run.lowerBound).text(ofPorts: run.count) }

    private func targets(_ run: ClosedRange<Int>) -> String {
        let first = target(run.lowerBound)
        return Endpoint(first)?.text(ofPorts: run.count) ?? first
    }
}
