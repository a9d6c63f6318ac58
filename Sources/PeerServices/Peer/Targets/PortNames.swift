internal import PeerCore
internal import PeerReactor

/// Some ports of a target in words: `127.0.0.1:80, 127.0.0.1:82-90`.
enum PortNames {
    private static let longest = 8

    static func text(_ endpoint: Endpoint, _ offsets: Set<UInt16>) -> String {
        var runs: [(first: UInt16, last: UInt16)] = []
        for offset in offsets.sorted() {
            if let last = runs.last, last.last + 1 == offset {
                runs[runs.count - 1].last = offset
            } else {
                runs.append((offset, offset))
            }
        }
        let names = runs.prefix(longest).map { run in
            Endpoint(host: endpoint.host, port: endpoint.port + run.first).text(ofPorts: Int(run.last - run.first) + 1)
        }
        return names.joined(separator: ", ") + (runs.count > longest ? " and others" : "")
    }
}
