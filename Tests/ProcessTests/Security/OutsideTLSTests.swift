import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The server port as `openssl s_client` and curl see it.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct OutsideTLSTests {
        private func client(_ s: Scenario, _ relay: Node, _ words: [String]) async throws -> Finished {
            try await s.makeStranger()
            let own = ["-cert", "\(s.folder)/stranger.crt", "-key", "\(s.folder)/stranger.key"]
            return try await s.run(
                "openssl", "openssl",
                ["s_client", "-connect", "127.0.0.1:\(relay.settings.serverPort ?? 0)"] + own + words)
        }

        @Test("TLS 1.3 with sound ciphers is spoken")
        func ciphers() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
                    let spoken = try await client(s, relay, ["-tls1_3", "-alpn", "p2prc/1", "-ciphersuites", suite])
                    try #require(spoken.stdout.contains("New, TLSv1.3, Cipher is \(suite)"), "\(spoken.stdout)")
                    try #require(spoken.stdout.contains("ALPN protocol: p2prc/1"))
                }
                for suite in ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"] {
                    let spoken = try await client(s, relay, ["-tls1_3", "-alpn", "p2prc/1", "-ciphersuites", suite])
                    try #require(spoken.stdout.contains("Cipher is (NONE)"), "\(suite): \(spoken.stdout)")
                }
            }
        }

        @Test("no older version of TLS is spoken, with any cipher", arguments: ["-tls1", "-tls1_1", "-tls1_2"])
        func versions(_ version: String) async throws {
            try await scenario { s in
                let relay = try await s.relay()
                // Security level 0: what this OpenSSL would not offer by itself is offered too.
                for ciphers in ["ALL:@SECLEVEL=0", "ECDHE-ECDSA-AES128-GCM-SHA256", "NULL:aNULL:@SECLEVEL=0"] {
                    let spoken = try await client(s, relay, [version, "-alpn", "p2prc/1", "-cipher", ciphers])
                    try #require(spoken.status != 0)
                    try #require(spoken.stdout.contains("Cipher is (NONE)"), "\(ciphers): \(spoken.stdout)")
                    try #require(!spoken.stdout.contains("BEGIN CERTIFICATE"), "not even the certificate is shown")
                }
            }
        }

        @Test(
            "without an application protocol of ours TLS is closed at once",
            arguments: [[], ["-alpn", "h2"], ["-alpn", "p2prc/2"]])
        func protocols(_ words: [String]) async throws {
            try await scenario { s in
                let relay = try await s.relay()
                var spoken: Finished?
                let time = try await milliseconds { spoken = try await client(s, relay, ["-tls1_3"] + words) }
                let ended = try #require(spoken)
                try #require(ended.stdout.contains("Cipher is (NONE)"), "\(ended.stdout)")
                try #require(!ended.stdout.contains("BEGIN CERTIFICATE"))
                try #require(time < 3_000, "at once: \(time) ms")
                try #require(try await relay.strangers()["Broken_TLS"] == 1)
            }
        }

        @Test("a data channel without its session's key is refused")
        func dataChannel() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let psk = ["-psk", String(repeating: "ab", count: 32), "-psk_identity", "12345678"]
                for words in [[], psk] {
                    let spoken = try await client(s, relay, ["-tls1_3", "-alpn", "p2prc-data/1"] + words)
                    try #require(spoken.stdout.contains("Cipher is (NONE)"), "\(spoken.stdout)")
                    try #require(!spoken.stdout.contains("BEGIN CERTIFICATE"))
                }
            }
        }

        @Test("a session without a client's certificate is refused")
        func noCertificate() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let target = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                // The refusal is the server's answer to the client's last message: it is there when something is read.
                let spoken = try await s.shell(
                    "(printf 'p2prcs'; sleep 2) | timeout 10 openssl s_client -connect "
                        + "\(target) -tls1_3 -alpn p2prc/1 2>&1"
                )
                try #require(spoken.stdout.contains("certificate required"), "\(spoken.stdout)")
            }
        }

        @Test("the certificate names nothing but a key, and the key is the one that the relay lists as its own")
        func certificate() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.nodeName = "a-very-particular-name" }
                let shown = try await client(s, relay, ["-tls1_3", "-alpn", "p2prc/1"])
                try shown.stdout.write(toFile: "\(s.folder)/shown", atomically: true, encoding: .utf8)
                let text = try await s.shell("openssl x509 -noout -text < \(s.folder)/shown")
                try #require(text.stdout.contains("ED25519") && text.stdout.contains("CN = p2prc"), "\(text.stdout)")
                try #require(!shown.stdout.contains("particular"))
                let raw = try await s.shell(
                    "openssl x509 -noout -pubkey < \(s.folder)/shown | openssl pkey -pubin -outform DER | tail -c 32 | "
                        + "od -An -tx1 | tr -d ' \\n'"
                )
                let status = try await relay.command(["status", "--json"])
                try #require(raw.stdout.count == 64 && status.stdout.contains(raw.stdout))
            }
        }
    }
}
