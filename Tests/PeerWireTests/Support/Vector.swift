import Foundation
import FuzzParsers
import PeerWire

/// One committed row of `json/vectors/*.json`.
struct Vector: Codable, Equatable {
    var name: String
    var hex: String
    var fields: [String: String]

    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../json/vectors").standardizedFileURL

    static func committed(_ file: String) throws -> [Vector] {
        try JSONDecoder().decode([Vector].self, from: Data(contentsOf: folder.appending(path: file)))
    }

    /// As it stands in a file.
    static func document(_ vectors: [Vector]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(vectors), as: UTF8.self)
    }
}

/// What people read beside the bytes.
func described(_ message: EitherMessage) -> [String: String] {
    switch message {
    case .peer(let message): described(message)
    case .relay(let message): described(message)
    }
}

private func described(_ message: PeerMessage) -> [String: String] {
    switch message {
    case .keyHistoryWanted(let key): ["key": "\(key)"]
    case .hello(let hello):
        ["proofs": hello.proofs.map { Hex.encode($0) }.joined(separator: ", "), "token": hello.token]
            .merging(hello.history.isEmpty ? [:] : described(hello.history)) { $1 }
    case .introduction(let introduction):
        [
            "instance": Hex.encode(introduction.instance.bytes), "name": introduction.name,
            "dialled": introduction.dialled, "software": introduction.software,
            "wantsPlain": "\(introduction.wantsPlain)",
        ].merging(introduction.began == 0 ? [:] : ["began": "\(introduction.began)"]) { $1 }
    case .request(let request):
        [
            "mapping": "\(request.mapping)", "protocols": described(request.protocols), "wish": described(request.wish),
            "target": request.target,
        ].merging(described(allow: request.allow, deny: request.deny)) { first, _ in first }
    case .commit(let mapping, let attempt, let ports):
        ["mapping": "\(mapping)", "attempt": "\(attempt)"].merging(described(ports)) { $1 }
    case .decline(let mapping, let attempt, let reason):
        ["mapping": "\(mapping)", "attempt": "\(attempt)", "reason": "\(reason) (\(reason.rawValue))"]
    case .release(let mapping): ["mapping": "\(mapping)"]
    case .report(let mapping, let state, let isLeaving, let ports):
        ["mapping": "\(mapping)", "state": "\(state) (\(state.rawValue))"]
            .merging(isLeaving ? ["isLeaving": "true"] : [:]) { $1 }
            .merging(described(ports)) { $1 }
    case .receiptSigned(let mapping, let signature):
        ["mapping": "\(mapping)", "signature": Hex.encode(signature)]
    case .checkWanted(let request):
        [
            "number": "\(request.number)", "mapping": "\(request.mapping)", "host": request.host,
            "port": "\(request.port)", "nonce": Hex.encode(request.nonce),
        ].merging(request.protocols == .tcp ? [:] : ["protocols": request.protocols.words.joined(separator: "+")]) {
            $1
        }
    case .tokenRenewed(let token): ["token": token]
    case .close(let reason, let detail): ["reason": "\(reason) (\(reason.rawValue))", "detail": detail]
    case .ping(let number), .pong(let number): ["number": "\(number)"]
    }
}

private func described(_ message: RelayMessage) -> [String: String] {
    switch message {
    case .close(let reason, let detail): ["reason": "\(reason) (\(reason.rawValue))", "detail": detail]
    case .keyHistory(let history): described(history)
    case .membership(let membership):
        ["ground": "\(membership.basis) (\(membership.basis.rawValue))", "proof": Hex.encode(membership.proof)]
    case .welcome(let welcome):
        [
            "session": Hex.encode(bigEndian(welcome.session.value)), "name": welcome.name, "observed": welcome.observed,
            "software": welcome.software, "channels": "\(welcome.channels)",
        ].merging(welcome.isPlain ? ["isPlain": "true"] : [:]) { $1 }
            .merging(welcome.groups != 1 ? ["groups": "\(welcome.groups)"] : [:]) { $1 }
            .merging(welcome.ports.map { ["ports": "\($0)"] } ?? [:]) { $1 }
            .merging(welcome.datagrams.map { ["datagrams": "\($0)"] } ?? [:]) { $1 }
    case .offer(let offer):
        [
            "mapping": "\(offer.mapping)", "attempt": "\(offer.attempt)", "ports": "\(offer.ports)",
            "leaseSeconds": "\(offer.leaseSeconds)",
        ]
    case .active(let mapping, let attempt, let host):
        ["mapping": "\(mapping)", "attempt": "\(attempt)", "host": host]
    case .refusal(let mapping, let reason, let detail):
        ["mapping": "\(mapping)", "reason": "\(reason) (\(reason.rawValue))", "detail": detail]
    case .released(let mapping): ["mapping": "\(mapping)"]
    case .receipt(let draft):
        [
            "terms": String(decoding: draft.terms.bytes, as: UTF8.self),
            "relaySignature": Hex.encode(draft.relaySignature),
        ]
    case .checkDone(let number, let passed, let detail):
        ["number": "\(number)", "passed": "\(passed)", "detail": detail]
    case .channelsWanted(let count, let group):
        ["count": "\(count)"].merging(group != 0 ? ["group": "\(group)"] : [:]) { $1 }
    case .datagramsMissed: [:]
    case .draining(let isDraining): ["isDraining": "\(isDraining)"]
    case .meshKeyRenewed(let key): ["meshKey": key.text]
    case .tokenJudged(let reason): ["reason": reason]
    case .ping(let number), .pong(let number): ["number": "\(number)"]
    }
}

func described(_ preamble: Preamble) -> [String: String] {
    ["kind": "\(preamble.kind)", "version": "\(preamble.version)"]
}

func described(_ hello: DataChannelHello) -> [String: String] {
    [
        "group": Hex.encode(hello.group.bytes), "number": "\(hello.number)",
        "proof": Hex.encode(hello.proof),
    ]
}

/// What a reader makes of a visitor's frames.
func describedFrames(_ bytes: [UInt8]) -> [String: String] {
    var pieces: [String] = []
    var reader = ChannelFrameReader()
    bytes.withUnsafeBytes { buffer in
        var offset = 0
        while true {
            switch reader.next(in: buffer, from: &offset) {
            case .nothing: return
            case .breach: return pieces.append("breach")
            case .bytes(let range): pieces.append("bytes \(Hex.encode(bytes[range]))")
            case .end: pieces.append("end")
            case .ready: pieces.append("ready")
            case .alive: pieces.append("alive")
            case .raw: pieces.append("raw")
            case .broken: pieces.append("broken")
            }
        }
    }
    return ["pieces": pieces.joined(separator: ", ")]
}

func described(_ start: VisitorStart) -> [String: String] {
    [
        "wantsAnswer": "\(start.wantsAnswer)", "portOffset": "\(start.portOffset)", "mapping": "\(start.mapping)",
        "visitor": "\(start.visitor)", "family": start.address.isIPv6 ? "6" : "4", "port": "\(start.address.port)",
        "address": Hex.encode(start.address.host),
    ].merging(start.isCheckOnly ? ["isCheckOnly": "true"] : [:]) { $1 }
}

private func described(_ protocols: TransportProtocols) -> String {
    [protocols.contains(.tcp) ? "tcp" : nil, protocols.contains(.udp) ? "udp" : nil].compactMap { $0 }
        .joined(separator: "+")
}

/// Lists that are left out are left out here.
private func described(allow: [Network], deny: [Network]) -> [String: String] {
    ["allow": allow, "deny": deny].filter { !$0.value.isEmpty }
        .mapValues { $0.map(\.description).joined(separator: " ") }
}

private func described(_ wish: PortWish) -> String {
    switch wish {
    case .any(let count): "any \(count)"
    case .exactly(let ports): "exactly \(ports)"
    case .preferably(let ports): "preferably \(ports)"
    }
}

private func bigEndian(_ number: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) }
}

func described(_ history: KeyHistory) -> [String: String] {
    var fields: [String: String] = [:]
    for (index, succession) in history.successions.enumerated() {
        fields["succession \(index + 1)"] =
            "\(succession.former) to \(succession.next), made \(succession.made), until "
            + "\(succession.until), \(Hex.encode(succession.formerSignature)), \(Hex.encode(succession.nextSignature))"
    }
    return fields
}

private func described(_ ports: PortStates?) -> [String: String] {
    ports.map { ["ports": $0.runs.map { "\($0.count) \($0.state)" }.joined(separator: ", ")] } ?? [:]
}
