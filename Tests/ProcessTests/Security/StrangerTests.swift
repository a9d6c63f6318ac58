import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Who is no member gets nothing, and not for long.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct StrangerTests {
        @Test(
            "a stranger keeps no socket longer than 10 s and learns no name",
            arguments: Stranger.Manner.allCases.dropLast())
        func patience(_ manner: Stranger.Manner) async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.nodeName = "a-very-particular-name" }
                let fared = try await s.stranger(manner, at: relay.settings.serverPort ?? 0)
                try #require(fared.isOver, "let go of: \(fared)")
                try #require(fared.milliseconds <= 10_000, "\(fared.milliseconds) ms")
                let name = "a-very-particular-name".utf8.map { String(format: "%02x", $0) }.joined()
                try #require(!fared.answer.contains(name))
                try #require(try await relay.viewRPM().isEmpty, "no port was opened")
                let strangers = try await relay.strangers()
                try #require(strangers.values.reduce(0, +) == 1, "it is counted once: \(strangers)")
            }
        }

        @Test(
            "without a proof there is one word, that this is no member",
            arguments: [Stranger.Manner.noProof, .wrongProof])
        func notAMember(_ manner: Stranger.Manner) async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let fared = try await s.stranger(manner, at: relay.settings.serverPort ?? 0)
                // close with reason 10 and an empty detail, to the last byte: docs/protocol.md.
                try #require(fared.answer == "05000007" + "0100010a" + "020000", "\(fared.answer)")
                try #require(fared.isOver && fared.milliseconds < 3_000, "\(fared.milliseconds) ms")
            }
        }

        @Test("a session without TLS, as older p2prc spoke it, is told to update and nothing else")
        func plaintextSession() async throws {
            try await scenario { s in
                let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                    .deletingLastPathComponent().deletingLastPathComponent().appending(
                        path: "json/vectors/retired.json")
                let rows = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [[String: Any]]
                let hello = try #require(rows?.first { $0["name"] as? String == "hello" }?["hex"] as? String)
                let relay = try await s.relay { $0.nodeName = "a-very-particular-name" }
                let fared = try await s.stranger(
                    .plaintext, at: relay.settings.serverPort ?? 0, saying: "7032707263730001" + hello)
                // close, reason 11.
                try #require(
                    fared.answer.hasPrefix("0500") && fared.answer.dropFirst(8).hasPrefix("0100010b"), "\(fared.answer)"
                )
                try #require(fared.isOver && fared.milliseconds < 3_000)
                let told = stride(from: 0, to: fared.answer.count - 1, by: 2).compactMap { at -> Character? in
                    let start = fared.answer.index(fared.answer.startIndex, offsetBy: at)
                    return UInt8(fared.answer[start..<fared.answer.index(start, offsetBy: 2)], radix: 16)
                        .map { Character(UnicodeScalar($0)) }
                }
                try #require(String(told).contains("update this p2prc") && !String(told).contains("particular"))
            }
        }
    }
}
