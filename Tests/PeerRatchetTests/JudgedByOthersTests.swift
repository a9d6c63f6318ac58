import Foundation
import PeerCore
import PeerWire
import Testing

@testable import PeerRatchet

/// Others' code at the other end: X3DH and DoubleRatchet of PyPI, and a second implementation with sealed headers
/// (Judges/judge.py). `P2PRC_RATCHET_PYTHON` names a Python 3.10 or later that has the packages X3DH and DoubleRatchet.
@Suite(.enabled(if: Judge.python != nil, "P2PRC_RATCHET_PYTHON"), .serialized, .timeLimit(.minutes(5)))
struct JudgedByOthersTests {
    private static let context = Array("both identities, and the circuit".utf8)

    private static func settings(_ end: String, _ suite: RecordSuite) -> Ratchet.Settings {
        var settings = Ratchet.Settings(suite: suite)
        settings.headers = end == "library" ? .open : .sealed
        return settings
    }

    /// 10,000 messages in random turns, both ways, in one circuit.
    private func converse(_ ratchet: inout Ratchet, _ judge: Judge, _ random: inout SeededGenerator) throws {
        var now = Instant.zero
        var sent = 0
        for number in 0..<10_000 {
            let text = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) {
                let record = try ratchet.seal(text, at: now, using: &random)
                try #require(try judge.ask("open", ["record": record])["text"] == text, "message \(number)")
                sent += 1
            } else {
                let record = try #require(try judge.ask("seal", ["text": text])["record"])
                try #require(try ratchet.open(record) == text, "message \(number)")
            }
            now = now + .milliseconds(UInt64.random(in: 0...2_000, using: &random))
        }
        #expect((4_500...5_500).contains(sent))
    }

    @Test(arguments: ["library", "document"], RecordSuite.allCases)
    func `opens a circuit to others' code, and 10,000 messages go both ways`(_ end: String, _ suite: RecordSuite) throws
    {
        var random = SeededGenerator(seed: 1)
        let judge = try Judge()
        let bundle = try judge.begin(end, suite, Self.context)
        let identity = AgreementPair(using: &random)
        let ephemeral = AgreementPair(using: &random)
        // The library signs prekeys otherwise; ours are signed by the node key, and that is tested elsewhere.
        let theirs = PrekeyBundle(
            identity: SignedIdentity(node: NodeKey(bytes: bundle.identity.bytes)!, key: bundle.identity, signature: []),
            number: 1, prekey: bundle.prekey, signature: [])
        let secret = try KeyAgreement.secret(identity: identity, ephemeral: ephemeral, with: theirs)
        var ratchet = try Ratchet(
            secret, initiatingTo: bundle.prekey, Self.settings(end, suite), context: Self.context, at: .zero,
            using: &random)
        let record = try ratchet.seal([1, 2, 3], at: .zero, using: &random)
        let heard = try judge.ask(
            "respond", ["identity": identity.key.bytes, "ephemeral": ephemeral.key.bytes, "record": record])
        #expect(heard["text"] == [1, 2, 3])
        try converse(&ratchet, judge, &random)
    }

    @Test(arguments: ["library", "document"], RecordSuite.allCases)
    func `answers a circuit that others' code opens, and 10,000 messages go both ways`(
        _ end: String, _ suite: RecordSuite
    ) throws {
        var random = SeededGenerator(seed: 2)
        let judge = try Judge()
        let theirs = try judge.begin(end, suite, Self.context)
        let seed = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        let identity = try #require(AgreementPair(seed: seed))
        let prekey = AgreementPair(using: &random)
        let begun = try judge.ask(
            "initiate",
            ["identity": identity.key.bytes, "secret": seed, "prekey": prekey.key.bytes, "text": [4, 5, 6]])
        let ephemeral = try #require(AgreementKey(bytes: begun["ephemeral"] ?? []))
        let secret = try KeyAgreement.secret(
            identity: identity, prekey: prekey, with: theirs.identity, ephemeral: ephemeral)
        var ratchet = Ratchet(
            secret, respondingWith: prekey, Self.settings(end, suite), context: Self.context, at: .zero)
        #expect(try ratchet.open(begun["record"] ?? []) == [4, 5, 6])
        try converse(&ratchet, judge, &random)
    }
}

/// The program of others' code, a question and an answer at a time.
private final class Judge {
    static var python: String? { ProcessInfo.processInfo.environment["P2PRC_RATCHET_PYTHON"] }

    private let process = Process()
    private let questions = Pipe()
    private let answers = Pipe()
    private var heard = Data()

    init() throws {
        process.executableURL = URL(fileURLWithPath: Self.python ?? "")
        process.arguments = [
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Judges/judge.py").path
        ]
        process.standardInput = questions
        process.standardOutput = answers
        try process.run()
    }

    deinit {
        try? questions.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func begin(
        _ end: String, _ suite: RecordSuite, _ context: [UInt8]
    ) throws -> (identity: AgreementKey, prekey: AgreementKey) {
        let told = try ask(["do": "begin", "end": end, "suite": "\(suite)", "context": Hex.encode(context)])
        return (
            try #require(AgreementKey(bytes: told["identity"] ?? [])),
            try #require(AgreementKey(bytes: told["prekey"] ?? []))
        )
    }

    func ask(_ what: String, _ values: [String: [UInt8]]) throws -> [String: [UInt8]] {
        try ask(values.mapValues { Hex.encode($0) }.merging(["do": what]) { $1 })
    }

    private func ask(_ question: [String: String]) throws -> [String: [UInt8]] {
        questions.fileHandleForWriting.write(try JSONEncoder().encode(question) + [10])
        while true {
            if let end = heard.firstIndex(of: 10) {
                let line = Data(heard[heard.startIndex..<end])
                heard = Data(heard[(end + 1)...])
                return try JSONDecoder().decode([String: String].self, from: line).compactMapValues { Hex.decode($0) }
            }
            let more = answers.fileHandleForReading.availableData
            // What went wrong stands in the test's output: it is the program's standard error.
            try #require(!more.isEmpty, "the judge gave up")
            heard.append(more)
        }
    }
}
