import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// A mapping's receipt, from the agreement of two processes to the check with other tools.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct ReceiptTests {
        @Test(
            "a mapping's receipt appears in the peer's home, verifies offline and with openssl alone, and goes with it")
        func exchanged() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                try await peer.verified(http.port)
                let place = try await eventually("the row says where the receipt lies", within: .seconds(10)) {
                    try await peer.viewRPM().first { $0.leads(to: http.port) }?.receipt
                }
                let file = "\(peer.home)/\(place)"
                let row = try await peer.verified(http.port)
                let text = try String(contentsOfFile: file, encoding: .utf8)
                try #require(text.contains("\npeer: \(row.peerKey ?? "?")\n"))
                try #require(text.contains("\nports: \(row.port)\n") && text.contains("\naddress: 127.0.0.1\n"))
                try #require(try await relay.viewRPM().allSatisfy { $0.receipt == nil }, "the relay keeps none")

                // Away from every node and home.
                let copy = "\(s.folder)/some.receipt"
                try FileManager.default.copyItem(atPath: file, toPath: copy)
                let verified = try await s.run("verify", Binaries.product(), ["receipt", "verify", copy])
                try #require(verified.status == ExitCode.fine && verified.stdout.hasPrefix("verified: "))
                let commands = try Self.opensslCommands()
                func openssl(_ file: String) async throws -> Int {
                    try await s.shell("cd '\(s.folder)' && file='\(file)'\n\(commands)").status
                }
                try #require(try await openssl(copy) == 0)

                let whole = try Data(contentsOf: URL(filePath: copy))
                let changed = "\(s.folder)/changed.receipt"
                for index in stride(from: 0, to: whole.count, by: 97) {
                    var bytes = whole
                    bytes[index] ^= 1
                    try bytes.write(to: URL(filePath: changed))
                    let refused = try await s.run("verify", Binaries.product(), ["receipt", "verify", changed])
                    try #require(refused.status == ExitCode.notVerified, "byte \(index)")
                    s.forget(refused.program)
                    try #require(try await openssl(changed) != 0, "byte \(index)")
                }

                try #require(try await peer.command(["unmap", "\(http.port)"]).status == ExitCode.fine)
                try await eventually("the receipt is gone", within: .seconds(5)) {
                    !FileManager.default.fileExists(atPath: file)
                }
            }
        }

        /// The block of docs/receipts.md that checks `$file`.
        private static func opensslCommands() throws -> String {
            let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardizedFileURL
            let page = try String(contentsOf: root.appending(path: "docs/receipts.md"), encoding: .utf8)
            let blocks = page.components(separatedBy: "```")
            return try #require(blocks.first { $0.contains("openssl pkeyutl") }?.components(separatedBy: "sh\n").last)
        }
    }

    /// What listings say of `--plain`.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct EncryptionListingTests {
        @Test(
            "listings of both ends say whether data channels are encrypted",
            arguments: [
                (true, true), (true, false), (false, true), (false, false),
            ])
        func listed(_ plainAtRelay: Bool, _ plainAtPeer: Bool) async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay { $0.more = plainAtRelay ? ["--plain"] : [] }
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"]) {
                    $0.more = plainAtPeer ? ["--plain"] : []
                }
                let row = try await peer.verified(http.port)
                let expected = plainAtRelay && plainAtPeer ? "plain" : "tls"
                try #require(row.encryption == expected)
                try #require(try await peer.viewRPS().map(\.encryption) == [expected])
                try #require(try await relay.viewRPS().map(\.encryption) == [plainAtRelay ? "plain" : "tls"])
                try #require(try await relay.viewRPM().map(\.encryption) == [expected])
                for words in [["--view-rps", "--wide"], ["--view-rpm", "--wide"], ["status", "--wide"]] {
                    let table = try await peer.command(words).stdout
                    let cells = table.split(separator: "\n").flatMap { $0.split(separator: " ") }
                    try #require(cells.contains("ENCRYPTION") && cells.contains(Substring(expected)))
                }
            }
        }
    }
}
