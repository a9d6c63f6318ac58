internal import PeerWire

extension Ranking {
    /// A sentence for each candidate, in the order of `rows`: its figures, and why it was chosen or not.
    public var explanation: [String] {
        rows.map { "\($0.name.isEmpty ? $0.key.short : $0.name): \(Self.figures($0.figures)); \(reason($0))." }
    }

    /// Why this row is chosen or not, without its figures.
    public func reason(of row: Row) -> String { reason(row) }

    private static func figures(_ figures: RelayFigures) -> String {
        guard let latency = figures.latency else {
            return figures.samples == 0 ? "never measured" : "no answer to \(figures.samples) probes"
        }
        var parts = ["\(text(latency)) at best of \(figures.answers)"]
        if let jitter = figures.jitter { parts.append("jitter \(text(jitter))") }
        if let setUp = figures.setUp { parts.append("set-up \(text(setUp))") }
        parts.append("loss \(percent(figures.loss))")
        parts.append("load \(percent(figures.load))")
        return parts.joined(separator: ", ")
    }

    /// Why a relay is no candidate.
    public static func reason(notProven verdict: RelayProof.Verdict) -> String {
        switch verdict {
        case .notOffered: "no candidate: it does not offer to be a relay"
        case .tooFewWitnesses(let count, of: let needed):
            "no candidate: \(count) of \(needed) other nodes say that it can be reached"
        case .notDialled(let address): "no candidate: \(reason(notDialled: address))"
        case .proven: reason(answers: 0)
        }
    }

    /// What the user can do about a relay that is not dialled on others' word.
    private static func reason(notDialled address: NodeAddress) -> String {
        guard DialPolicy.allows(port: address.port, for: .node) else {
            return "port \(address.port) is not dialled on others' word: p2prc --connect-reverse-proxy \(address)"
        }
        let isUsual = address.port == usualPort
        let place = isUsual && !address.host.isIPv6 ? address.host.description : address.description
        let network = Network(of: address.host, prefixLength: address.host.isIPv6 ? 64 : 24)
        let what = DialPolicy.isPublic(address.host.bytes) ? "an address of this machine" : "not a public address"
        return "\(address.host) is \(what): p2prc --connect-reverse-proxy \(place), or "
            + "dial = [\"\(network)\"] under [mesh] in config.toml"
    }

    private static let usualPort: UInt16 = 8_088

    private static func reason(answers: Int) -> String {
        let left = max(1, RelayFigures.fewestAnswers - answers)
        return "no candidate yet: \(left) more answer\(left == 1 ? "" : "s") needed"
    }

    private func reason(_ row: Row) -> String {
        switch row.verdict {
        case .chosen:
            return rows.first?.key == row.key
                ? "chosen: nobody costs less" : "kept: nobody is better by 10 ms and by a third"
        case .behind(let span): return "not chosen: it costs \(Self.text(span)) more than the chosen one"
        case .notWorthMoving(let span):
            return "not chosen: \(Self.text(span)) better than the chosen one, too little to move (10 ms and a third)"
        case .notProven(let verdict): return Self.reason(notProven: verdict)
        case .notMeasured: return Self.reason(answers: row.figures.answers)
        case .draining: return "no candidate: it lets its peers go"
        case .full: return "no candidate: it is busy, and takes no new peers"
        case .silent: return "no candidate: it does not answer"
        }
    }

    /// Milliseconds, with as many digits as mean something.
    public static func text(_ span: Instant.Span) -> String {
        let tenths = (span.nanoseconds + 50_000) / 100_000
        if tenths >= 100 { return "\((tenths + 5) / 10) ms" }
        if tenths > 0 { return "\(tenths / 10).\(tenths % 10) ms" }
        let hundredths = (span.nanoseconds + 5_000) / 10_000
        return hundredths > 0 ? "0.0\(hundredths) ms" : "\(span.nanoseconds / 1_000) µs"
    }

    private static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
}
