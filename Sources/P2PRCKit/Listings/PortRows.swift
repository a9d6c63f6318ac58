internal import PeerReactor
internal import PeerStorage

/// Neighbouring ports of one mapping of which a listing has the same to say, as one row.
struct PortRows {
    /// The first of them, which stands for all.
    private(set) var first: MappingRegistry.Mapping
    private(set) var count = 1

    static func collapsed(_ rows: [MappingRegistry.Mapping]) -> [PortRows] {
        var all: [PortRows] = []
        for row in rows {
            if let last = all.indices.last, all[last].isContinued(by: row) {
                all[last].count += 1
            } else {
                all.append(PortRows(first: row))
            }
        }
        return all
    }

    private func isContinued(by row: MappingRegistry.Mapping) -> Bool {
        guard let port = first.blindPort, let next = row.blindPort, Int(next) == Int(port) + count else { return false }
        var same = row
        same.blindPort = port
        same.target = first.target
        // Why it does not work names the port.
        same.reason = first.reason
        // Who saw it work is not shown.
        same.verifiedBy = first.verifiedBy
        // Those of all ports stand in the first row.
        same.way.flows = first.way.flows
        return same == first && target(first.target, count) == row.target && isAlike(first.reason, row.reason)
    }

    private func isAlike(_ left: String?, _ right: String?) -> Bool {
        guard let left, let right else { return left == right }
        return left == right || target(first.target, count).map { left.replacing(first.target, with: $0) } == right
    }

    private func target(_ text: String, _ offset: Int) -> String? {
        guard var endpoint = Endpoint(text) else { return nil }
        endpoint.port &+= UInt16(offset)
        return endpoint.description
    }

    var publicAddress: String {
        guard let port = first.blindPort else { return "-" }
        return Endpoint(host: first.address ?? "?", port: port).text(ofPorts: count)
    }

    var target: String { Endpoint(first.target)?.text(ofPorts: count) ?? first.target }

    private static let silence = (one: " does not answer", many: " do not answer")

    var reason: String? {
        guard let reason = first.reason, count > 1 else { return first.reason }
        let silence = first.target + Self.silence.one
        return reason.contains(silence)
            ? reason.replacing(silence, with: target + Self.silence.many)
            : reason.replacing(first.target, with: target)
    }
}
