import Foundation

/// Strangers of every kind before nodes' ports, over and over from twenty addresses, until it is killed or the time is
/// over: silence, junk, what looks like TLS, handshakes and then one byte in each record, requests to the API, words of
/// a session without a proof, and visitors who say nothing or are gone at once. In Python's ssl, with a key of its own.
enum Crowd {
    static let script = """
        import json, os, random, socket, ssl, struct, sys, threading, time
        folder, seconds = sys.argv[1], float(sys.argv[2])
        nodes, ports = ([int(word) for word in words.split(",") if word] for words in sys.argv[3:5])
        random.seed(7)
        end, counts, lock = time.monotonic() + seconds, {}, threading.Lock()
        def context(protocol):
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            made.set_alpn_protocols([protocol])
            made.load_cert_chain(folder + "/stranger.crt", folder + "/stranger.key")
            return made
        session, http = context("p2prc/1"), context("http/1.1")
        def dial(port, patience=12):
            made = socket.create_connection(("127.0.0.1", port), 5, (f"127.0.0.{random.randint(80, 99)}", 0))
            made.settimeout(patience)
            return made
        def hear(end):
            while end.recv(65536): pass
        def silence():
            with dial(random.choice(nodes)) as end: hear(end)
        def junk():
            with dial(random.choice(nodes)) as end:
                starts = b"\\x16\\x03\\x01", b"\\x16", b"p2prcs\\x00\\x01", b"p2prcd\\x00\\x01", b"GET /\\r\\n", b""
                end.sendall(random.choice(starts))
                end.sendall(os.urandom(random.randint(1, 4096)))
                hear(end)
        words = [
            b"GET /v1/alive HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", b"GET /v1/node HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n",
            b"POST /v1/mesh HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 2048\\r\\n\\r\\n" + os.urandom(2048),
            b"GET /" + b"a" * 20000 + b" HTTP/1.1\\r\\n\\r\\n", os.urandom(512),
        ]
        def api():
            with http.wrap_socket(dial(random.choice(nodes))) as end:
                for _ in range(20):
                    end.sendall(random.choice(words))
                    if not end.recv(65536): break
        def records():
            with http.wrap_socket(dial(random.choice(nodes))) as end:
                for _ in range(40):
                    for byte in words[0]: end.sendall(bytes([byte]))
        def wordless():
            with session.wrap_socket(dial(random.choice(nodes))) as end:
                start = b"p2prcs\\x00\\x01" + b"\\x06\\x00\\x00\\x26\\x01\\x00\\x20" + bytes(32) + b"\\x02\\x00\\x00"
                for byte in start: end.sendall(bytes([byte]))
                hear(end)
        def quiet():
            with dial(random.choice(ports)) as end:
                end.sendall(b"x")
                hear(end)
        def gone():
            with dial(random.choice(ports)) as end:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        def go(kind):
            while time.monotonic() < end:
                try: kind()
                except (OSError, ValueError): pass
                with lock: counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
                time.sleep(0.05)
        kinds = [silence] * 20 + [junk] * 4 + [api] * 2 + [records, wordless] + ([quiet] * 4 + [gone] if ports else [])
        threads = [threading.Thread(target=go, args=(kind,), daemon=True) for kind in kinds]
        for thread in threads: thread.start()
        while time.monotonic() < end: time.sleep(0.1)
        print(json.dumps(counts), flush=True)
        """
}

extension Scenario {
    /// Strangers before these nodes' server ports, and visitors of these public ports; how many came of each kind is
    /// printed at the end.
    public func crowd(at nodes: [Int], visiting ports: [Int], for seconds: Int) async throws -> Program {
        try await makeStranger()
        let places = [nodes, ports].map { $0.map(String.init).joined(separator: ",") }
        return try start("crowd", "/usr/bin/python3", ["-c", Crowd.script, folder, "\(seconds)"] + places)
    }
}
