import Foundation
import Testing

/// A place in the sources that begins a connection, or has one begun.
struct DialPlace: Sendable, CustomStringConvertible {
    enum Cause: Sendable {
        /// This node's user alone: what he named or mapped, or a socket in the home.
        case user(String)
        /// Another party, and only to that party itself.
        case itself(String)
        /// Another party's word, of whom; the file asks `DialGuard` by these words.
        case judged(String, by: String)
        /// Another party's word: a name is looked up, so often at most, and nothing is dialled for it.
        case lookUp(String)
        /// Carries out what other places in this list asked for.
        case mechanism
    }

    let path: String
    let call: String
    let cause: Cause
    var description: String { "\(path): \(call)" }

    /// What begins a connection, wherever it stands.
    static let calls = [
        "connect(", "sendto(", "getaddrinfo(", "gethostbyname(", "Connector(", "Connector.open(", "Connector.openUnix(",
        "DialAttempt(", "carrier.dial(", ".resolve(", "RelayDialler(", "ReachabilityProbe(", "DatagramProbe(",
        "PortProbe.begin(",
        "client.send(",
        "network.send(", "NodeClient(", "DatagramSocket.connected(", "UnixExchange.exchange(", "curl_multi_add_handle(",
        "curl_easy_perform(",
    ]

    static let all = [
        DialPlace(path: "PeerReactor/Sockets/Connector.swift", call: "connect(", cause: .mechanism),
        DialPlace(path: "CDatagrams/Sockets.c", call: "connect(", cause: .mechanism),
        DialPlace(path: "PeerReactor/Loop/Resolver.swift", call: "getaddrinfo(", cause: .mechanism),
        DialPlace(path: "PeerReactor/Streams/UnixExchange.swift", call: "connect(", cause: .user("the control socket")),
        DialPlace(
            path: "P2PRCKit/Control/Control.swift", call: "UnixExchange.exchange(", cause: .user("the control socket")),
        DialPlace(
            path: "PeerServices/Doorway/APIGateway.swift", call: "Connector.openUnix(", cause: .user("the API's socket")
        ),
        DialPlace(
            path: "PeerServices/Peer/Targets/TargetWatch.swift", call: "Connector(",
            cause: .user("the targets that he mapped")),
        DialPlace(
            path: "PeerServices/Peer/Targets/TargetWatch.swift", call: ".resolve(",
            cause: .user("the targets that he mapped")),
        DialPlace(
            path: "PeerDataPlane/Egresses/Target/Targets.swift", call: "Connector.open(",
            cause: .user("the targets that he mapped")),
        DialPlace(
            path: "PeerDataPlane/Frontends/Channel/DialledChannels.swift", call: "carrier.dial(",
            cause: .itself("a relay wants data channels: to the address that its session stands on")),
        DialPlace(path: "PeerDataPlane/Carriers/DialAttempt.swift", call: "Connector(", cause: .mechanism),
        DialPlace(path: "PeerDataPlane/Carriers/TLSCarrier.swift", call: "DialAttempt(", cause: .mechanism),
        DialPlace(path: "PeerDataPlane/Carriers/PlainCarrier.swift", call: "DialAttempt(", cause: .mechanism),
        DialPlace(path: "PeerServices/Peer/Relays/RelayDialler.swift", call: "carrier.dial(", cause: .mechanism),
        DialPlace(path: "PeerServices/Peer/Relays/RelayDialler.swift", call: ".resolve(", cause: .mechanism),
        DialPlace(
            path: "PeerServices/Peer/Relays/RelayConnection.swift", call: "RelayDialler(",
            cause: .judged("relays that the user named; others by their records", by: "mayDial(")),
        DialPlace(path: "PeerServices/Peer/Checks/ReachabilityProbe.swift", call: "Connector(", cause: .mechanism),
        DialPlace(
            path: "PeerServices/Peer/Checks/DatagramProbe.swift", call: "DatagramSocket.connected(", cause: .mechanism),
        DialPlace(
            path: "PeerServices/Peer/Checks/PortProbe.swift", call: "DatagramProbe(", cause: .mechanism),
        DialPlace(
            path: "PeerServices/Peer/Checks/PortProbe.swift", call: "ReachabilityProbe(", cause: .mechanism),
        DialPlace(
            path: "PeerDataPlane/Carriers/Datagrams/DialledDatagrams.swift", call: "carrier.dial(",
            cause: .itself("no datagrams get through to a relay: to the address that its session stands on")),
        DialPlace(
            path: "PeerDataPlane/Carriers/Datagrams/PeerDatagrams.swift", call: "DatagramSocket.connected(",
            cause: .itself("a relay takes datagrams: to the address that its session stands on")),
        DialPlace(
            path: "PeerDataPlane/Egresses/DatagramTarget/DatagramTargets.swift", call: "DatagramSocket.connected(",
            cause: .user("the target of a mapping")),
        DialPlace(
            path: "PeerServices/Peer/Checks/ReachabilityChecks.swift", call: "PortProbe.begin(",
            cause: .itself("a relay says that a port is open: to the address that its session stands on")),
        DialPlace(
            path: "PeerServices/Peer/Checks/ReachabilityChecks.swift", call: ".resolve(",
            cause: .lookUp("the name that a relay tells visitors, once a minute")),
        DialPlace(
            path: "PeerServices/Relay/ChecksForPeers.swift", call: "PortProbe.begin(",
            cause: .judged("a peer wants a port of another relay looked at", by: "judge.allows(")),
        DialPlace(path: "CCurl/CCurl.c", call: "curl_multi_add_handle(", cause: .mechanism),
        DialPlace(path: "P2PRCKit/Node/OpenedHome.swift", call: "NodeClient(", cause: .mechanism),
        DialPlace(
            path: "PeerServices/Mesh/Asking/MeshClient.swift", call: "client.send(", cause: .mechanism),
        DialPlace(
            path: "PeerServices/Mesh/Asking/MeshClient.swift", call: "network.send(",
            cause: .judged("records, seeds, dial-backs, probes, vouches", by: "isAllowed(")),
    ]
}

@Suite("Connections")
struct DialTests {
    private struct Found: Hashable {
        let path: String
        let call: String
    }

    /// In Swift and C alike.
    private static let found: Set<Found> = {
        var found: Set<Found> = []
        for file in SourceTree.sources + SourceTree.cSources {
            let path = String(file.path.dropFirst("Sources/".count))
            for (_, text) in file.code {
                for call in DialPlace.calls where Self.calls(call, in: text) {
                    found.insert(Found(path: path, call: call))
                }
            }
        }
        return found
    }()

    /// The word itself, not the end of a longer one and not where it is declared. Methods of that name are no system
    /// call: those take the descriptor first.
    private static func calls(_ call: String, in text: String) -> Bool {
        var rest = text[...]
        while let place = rest.range(of: call) {
            let former = place.lowerBound > text.startIndex ? text[text.index(before: place.lowerBound)] : " "
            let before = text[..<place.lowerBound]
            rest = rest[place.upperBound...]
            if call.first != ".", former.isLetter || former == "_" || former.isNumber { continue }
            if before.hasSuffix("func ") || before.hasSuffix("class ") { continue }
            if call == "connect(", !rest.contains("$0") && !rest.contains("sockaddr") && !rest.hasPrefix("fd") {
                continue
            }
            return true
        }
        return false
    }

    @Test("are begun in known places only, and each says who may cause it")
    func places() {
        let known = Set(DialPlace.all.map { Found(path: $0.path, call: $0.call) })
        for place in Self.found.subtracting(known) {
            Issue.record("\(place.path) has \(place.call): who may cause it? Judge it with DialGuard, and list it here")
        }
        for place in known.subtracting(Self.found) { Issue.record("\(place.path) has no \(place.call) any more") }
    }

    @Test("on others' word are judged where they are begun", arguments: DialPlace.all)
    func judged(_ place: DialPlace) {
        guard case .judged(let whose, let words) = place.cause else { return }
        let file = SourceTree.sources.first { $0.path == "Sources/\(place.path)" }
        let lines = file?.code.map(\.text) ?? []
        let judging = lines.indices.filter { lines[$0].contains(words) && !lines[$0].contains("func \(words)") }
        let dialling = lines.indices.filter { lines[$0].contains(place.call) }
        for line in dialling {
            // In the same piece of code: what is judged elsewhere may be dialled anew without it.
            #expect(judging.contains { abs($0 - line) <= 30 }, "\(place) is caused by \(whose), and not judged")
        }
    }
}
