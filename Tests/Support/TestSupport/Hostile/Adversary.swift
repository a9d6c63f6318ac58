import Foundation

/// An end of a session that keeps to the protocol in its bytes and not in its spirit, in Python: a relay that sends its
/// peers elsewhere, and a peer that has a relay dial others. Both come without a mesh key: open relays know none.
public enum Adversary {
    static let common = """
        import json, os, select, socket, ssl, sys, threading, time
        folder = sys.argv[1]
        def frame(kind, *fields):
            payload = b"".join(bytes([tag]) + len(value).to_bytes(2, "big") + value for tag, value in fields)
            return bytes([kind, 0]) + len(payload).to_bytes(2, "big") + payload
        def context(side):
            made = ssl.SSLContext(side)
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            made.set_alpn_protocols(["p2prc/1"])
            made.load_cert_chain(folder + "/stranger.crt", folder + "/stranger.key")
            return made
        class Frames:
            def __init__(self, end, skip=0): self.end, self.skip, self.bytes = end, skip, b""
            def next(self):
                while True:
                    head = self.bytes[self.skip:]
                    if len(head) >= 4 and len(head) >= 4 + int.from_bytes(head[2:4], "big"):
                        length = int.from_bytes(head[2:4], "big")
                        payload, self.bytes, self.skip = head[4:4 + length], head[4 + length:], 0
                        fields = {}
                        while payload:
                            size = int.from_bytes(payload[1:3], "big")
                            fields[payload[0]], payload = payload[3:3 + size], payload[3 + size:]
                        return head[0], fields
                    data = self.end.recv(65536)
                    if not data: raise EOFError
                    self.bytes += data
        """

    static let relay =
        common + """

            # folder, server port, port to offer, hosts to name in turn, how often, hosts to count connections at,
            # "on" to go on
            port, offered, count = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[5])
            hosts, watched = sys.argv[4].split(","), sys.argv[6].split(",")
            goes_on = sys.argv[7] == "on"
            def pester(end, mapping, attempt):
                # Each for 2 s in its turn, as fast as it goes with a pause of 20 ms after every batch.
                number = lambda value, size: value.to_bytes(size, "big")
                place = offered.to_bytes(2, "big") + b"\\x00\\x01"
                lifetime = bytes(3) + b"\\x3c"
                offer = lambda whose, n: frame(0x21, (1, whose), (2, number(n, 2)), (3, place), (4, lifetime))
                active = lambda n: frame(0x24, (1, mapping), (2, attempt), (3, hosts[n % len(hosts)].encode()))
                batches = {
                    "actives": [active(n) for n in range(512)],
                    "pings": [frame(0x10, (1, number(n, 8))) for n in range(1024)],
                    "tiny records": [bytes([byte]) for n in range(12) for byte in frame(0x11, (1, number(n, 8)))],
                    "offers": [offer(os.urandom(8), n) for n in range(256)],
                    "refusals": [frame(0x25, (1, os.urandom(8)), (2, b"\\x01"), (3, b"no")) for _ in range(256)],
                    "channels": [frame(0x30, (1, number(wanted, 2)), (2, b"\\x00")) for wanted in (256, 1) * 128],
                    "answers": [frame(0x39, (1, number(n, 4)), (2, b"\\x01"), (3, b"yes")) for n in range(256)],
                    "pings, unread": [frame(0x10, (1, number(n, 8))) for n in range(1024)],
                }
                while True:
                    for name, batch in batches.items():
                        print("pester", name, flush=True)
                        until = time.monotonic() + 2
                        while time.monotonic() < until:
                            for piece in batch if name == "tiny records" else [b"".join(batch)]: end.sendall(piece)
                            if name == "pings, unread":
                                time.sleep(0.02)
                            elif select.select([end], [], [], 0.02)[0] and not end.recv(262144): raise EOFError
            def watch(host):
                listener = socket.create_server((host, offered), backlog=512)
                def accept():
                    while True:
                        end = listener.accept()[0]
                        print("hit", host, flush=True)
                        end.close()
                threading.Thread(target=accept, daemon=True).start()
            for host in watched: watch(host)
            tls = context(ssl.PROTOCOL_TLS_SERVER)
            def serve(end):
                try:
                    end = tls.wrap_socket(end, server_side=True)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    frames = Frames(end, skip=8)
                    while True:
                        kind, fields = frames.next()
                        if kind == 0x06: end.sendall(frame(0x07, (1, b"\\x03"), (2, b"")))
                        if kind == 0x08:
                            named = (2, b"adversary"), (3, b""), (4, b"double"), (5, b"\\x00\\x01")
                            end.sendall(frame(0x04, (1, bytes(7) + b"\\x01"), *named))
                        if kind == 0x10: end.sendall(frame(0x11, (1, fields[1])))
                        if kind == 0x20:
                            place = offered.to_bytes(2, "big") + b"\\x00\\x01"
                            place_for = (2, b"\\x00\\x01"), (3, place), (4, bytes(3) + b"\\x3c")
                            end.sendall(frame(0x21, (1, fields[1]), *place_for))
                        if kind == 0x22:
                            end.sendall(b"".join(
                                frame(0x24, (1, fields[1]), (2, fields[2]), (3, hosts[number % len(hosts)].encode()))
                                for number in range(count)))
                            print("sent", count, flush=True)
                            if goes_on: pester(end, fields[1], fields[2])
                except (OSError, EOFError, KeyError): pass
            listener = socket.create_server(("127.0.0.1", port), backlog=128)
            print("listening", flush=True)
            while True:
                end = listener.accept()[0]
                print("came", flush=True)
                threading.Thread(target=serve, args=(end,), daemon=True).start()
            """

    static let member =
        common + """

            # folder, relay's host and port, what it says it dialled, token or "", addresses to be checked,
            # seconds to stay
            host, dialled, token, places = sys.argv[2], *sys.argv[4:7]
            port, stay = int(sys.argv[3]), float(sys.argv[7])
            end = context(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(socket.create_connection((host, port)))
            end.settimeout(10)
            end.sendall(b"p2prcs\\x00\\x01" + frame(0x06, (1, b""), (2, token.encode())))
            frames = Frames(end)
            answers, started = {}, {}
            kind, fields = frames.next()
            if kind != 0x07: sys.exit(f"not let in: {kind} {fields}")
            named = (2, b"adversary"), (3, dialled.encode()), (4, b"double"), (5, b"\\x00")
            end.sendall(frame(0x08, (1, os.urandom(16)), *named))
            kind, fields = frames.next()
            if kind != 0x04: sys.exit(f"not welcome: {kind} {fields}")
            print("welcome", flush=True)
            def pings():
                while True:
                    time.sleep(0.5)
                    try: end.sendall(frame(0x10, (1, bytes(8))))
                    except OSError: return
            threading.Thread(target=pings, daemon=True).start()
            places = [place.rsplit(":", 1) for place in places.split(",") if place]
            until = time.monotonic() + stay
            for number, (there, their) in enumerate(places):
                started[number] = time.monotonic()
                end.sendall(frame(
                    0x38, (1, number.to_bytes(4, "big")), (2, bytes(8)), (3, there.encode()),
                    (4, int(their).to_bytes(2, "big")),
                    (5, os.urandom(32))))
            while len(answers) < len(places) or time.monotonic() < until:
                kind, fields = frames.next()
                if kind == 0x39:
                    number = int.from_bytes(fields[1], "big")
                    took = time.monotonic() - started[number]
                    answers[number] = [fields[2] == b"\\x01", fields.get(3, b"").decode(), took]
            rows = [{"passed": a, "detail": b, "seconds": c} for _, (a, b, c) in sorted(answers.items())]
            print(json.dumps(rows), flush=True)
            """

    /// What a relay answered to `checkWanted`.
    public struct Answer: Decodable, Sendable {
        public let passed: Bool
        public let detail: String
        public let seconds: Double
    }
}

extension Scenario {
    /// A relay that offers `offered` to each peer and, for each commit, says `count` times that it is active, at these
    /// hosts in turn. It prints `hit HOST` for each connection to that port at one of the `watched`, and `came` for
    /// each to its own. It knows no data channels and breaks each of them. One that goes on sends whatever makes work
    /// from then on, and prints `pester` and its kind for each turn.
    public func falseRelay(
        port: Int, offering offered: Int, at hosts: [String], count: Int, watching watched: [String],
        goesOn: Bool = false
    ) async throws -> Program {
        try await makeStranger()
        let words = [
            "\(port)", "\(offered)", hosts.joined(separator: ","), "\(count)", watched.joined(separator: ","),
            goesOn ? "on" : "off",
        ]
        let program = try start("false-relay", "/usr/bin/python3", ["-c", Adversary.relay, folder] + words)
        try await program.line(containing: "listening")
        return program
    }

    /// A peer that says it dialled that, and wants these addresses checked.
    public func falseMember(
        of port: Int, dialled: String = "127.0.0.1", token: String = "", checks: [String] = [], staying seconds: Int = 0
    ) async throws -> Program {
        try await makeStranger()
        let words = ["127.0.0.1", "\(port)", dialled, token, checks.joined(separator: ","), "\(seconds)"]
        return try start("false-member", "/usr/bin/python3", ["-c", Adversary.member, folder] + words)
    }
}
