import Foundation

/// Somebody who speaks TLS to a relay without being a member, in Python's ssl and with a key of its own.
public struct Stranger: Sendable {
    public enum Manner: String, CaseIterable, Sendable {
        /// Nothing at all.
        case idle
        /// The first half of a TLS ClientHello.
        case halfHello = "half-hello"
        /// A handshake with a key of its own, then silence.
        case silentAfterTLS = "silent-after-tls"
        /// The preamble of a session, then silence.
        case silentAfterPreamble = "silent-after-preamble"
        /// A hello without any proof.
        case noProof = "no-proof"
        /// A hello with a proof that proves nothing.
        case wrongProof = "wrong-proof"
        /// A session's frames without a hello: a request for a port.
        case requestAtOnce = "request-at-once"
        /// A byte of the handshake every second.
        case slow
        /// A session without TLS, as before there was any; its bytes are given.
        case plaintext
    }

    public struct Experience: Decodable, Sendable {
        /// Until the other end let go, or the end of patience.
        public let milliseconds: Int
        /// What it said, decrypted where TLS stood; hexadecimal.
        public let answer: String
        public let isOver: Bool
    }

    fileprivate static let script = """
        import json, socket, ssl, sys, time
        port, manner, folder, given = int(sys.argv[1]), sys.argv[2], sys.argv[3], bytes.fromhex(sys.argv[4])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["p2prc/1"])
        context.load_cert_chain(folder + "/stranger.crt", folder + "/stranger.key")
        preamble = b"p2prcs\\x00\\x01"
        def frame(kind, *fields):
            payload = b"".join(bytes([tag]) + len(value).to_bytes(2, "big") + value for tag, value in fields)
            return bytes([kind, 0]) + len(payload).to_bytes(2, "big") + payload
        def hello():
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            try: context.wrap_bio(into, out).do_handshake()
            except ssl.SSLWantReadError: pass
            return out.read()
        words = {
            "silent-after-tls": b"", "silent-after-preamble": preamble,
            "no-proof": preamble + frame(6, (1, b""), (2, b"")),
            "wrong-proof": preamble + frame(6, (1, bytes(32)), (2, b"")),
            "request-at-once": preamble + frame(0x20, (1, bytes(8)), (2, b"\\x01"), (3, b"\\x00\\x01")),
        }
        start, answer, over = time.monotonic(), b"", False
        patience = start + 15
        end = socket.create_connection(("127.0.0.1", port))
        try:
            end.settimeout(15)
            if manner in words:
                end = context.wrap_socket(end)
                if words[manner]: end.sendall(words[manner])
            elif manner == "half-hello":
                end.sendall(hello()[:100])
            elif manner == "plaintext":
                end.sendall(given)
            for byte in hello() if manner == "slow" else b"":
                end.sendall(bytes([byte]))
                end.settimeout(1)
                try:
                    if not end.recv(1): break
                except TimeoutError: pass
            while time.monotonic() < patience:
                end.settimeout(max(0.01, patience - time.monotonic()))
                data = end.recv(65536)
                if not data:
                    over = True
                    break
                answer += data
        except TimeoutError: pass
        except OSError: over = True
        took = int((time.monotonic() - start) * 1000)
        print(json.dumps({"milliseconds": took, "answer": answer.hex(), "isOver": over}))
        """
}

extension Scenario {
    /// Goes to a node's server port and tells how it fared there.
    public func stranger(
        _ manner: Stranger.Manner, at port: Int, saying bytes: String = ""
    ) async throws -> Stranger.Experience {
        try await makeStranger()
        let ended = try await run(
            "stranger", "/usr/bin/python3", ["-c", Stranger.script, "\(port)", manner.rawValue, folder, bytes],
            within: .seconds(30))
        guard ended.status == 0,
            let experience = try? JSONDecoder().decode(
                Stranger.Experience.self, from: Data(ended.stdout.utf8))
        else { throw Failure("the stranger broke: \(ended.stderr)") }
        return experience
    }

    /// Makes `stranger.key` and `stranger.crt` in the scenario's folder: an Ed25519 key with a certificate like a
    /// node's.
    public func makeStranger() async throws {
        let (key, certificate) = ("\(folder)/stranger.key", "\(folder)/stranger.crt")
        guard !FileManager.default.fileExists(atPath: certificate) else { return }
        let made = try await run(
            "openssl", "openssl",
            [
                "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "3650", "-subj", "/CN=p2prc", "-keyout", key,
                "-out", certificate,
            ])
        guard made.status == 0 else { throw Failure("openssl makes no certificate: \(made.stderr)") }
    }
}
