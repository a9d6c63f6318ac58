import Foundation

extension Adversary {
    static let grabbingRelay =
        common + """

            # folder, server port, port to offer, what it does: "grab", "halves" or "drains"
            port, offered, mode = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
            known, held, lock, turn = {}, [], threading.Lock(), [0]
            agreed = threading.Event()
            def start(number):
                return (b"\\x01\\x00\\x00\\x27\\x00\\x00\\x00" + known["mapping"] + number.to_bytes(8, "big")
                    + b"\\x04\\x00\\x30\\x39" + bytes([192, 0, 2, 1]) + bytes(12))
            def channel(end):
                got = b""
                while len(got) < 57: got += end.recv(57 - len(got)) or sys.exit(0)
                agreed.wait()
                with lock:
                    turn[0] += 1
                    mine = turn[0]
                if mode == "grab":
                    end.sendall(start(mine))
                    held.append(end)
                    if mine % 100 == 0: print("grabbed", mine, flush=True)
                    try:
                        while end.recv(4096): pass
                    finally: held.remove(end)
                if mode == "halves" and mine <= 2:
                    began = time.monotonic()
                    end.sendall(b"\\x02" + bytes(21) if mine == 1 else start(mine)[:22])
                    try: end.recv(1)
                    except OSError: pass
                    took = round(time.monotonic() - began, 2)
                    print(("wrong" if mine == 1 else "half") + ": ended after", took, flush=True)
                held.append(end)
            def drains(end):
                for word in range(1 << 30):
                    end.sendall(frame(0x32, (1, bytes([1 - word % 2]))))
                    if word == 0: print("draining", flush=True)
                    time.sleep(0.9)
            tls = context(ssl.PROTOCOL_TLS_SERVER)
            def session(end):
                end = tls.wrap_socket(end, server_side=True)
                frames = Frames(end, skip=8)
                while True:
                    kind, fields = frames.next()
                    if kind == 0x06: end.sendall(frame(0x07, (1, b"\\x03"), (2, b"")))
                    if kind == 0x08:
                        end.sendall(frame(
                            0x04, (1, bytes(7) + b"\\x01"), (2, b"grabber"), (3, b""), (4, b"double"),
                            (5, b"\\x00\\x04"), (6, b"\\x01")))
                        if mode == "drains": threading.Thread(target=drains, args=(end,), daemon=True).start()
                    if kind == 0x10: end.sendall(frame(0x11, (1, fields[1])))
                    if kind == 0x20:
                        place = offered.to_bytes(2, "big") + b"\\x00\\x01"
                        place_for = (2, b"\\x00\\x01"), (3, place), (4, bytes(3) + b"\\x3c")
                        end.sendall(frame(0x21, (1, fields[1]), *place_for))
                    if kind == 0x22:
                        end.sendall(frame(0x24, (1, fields[1]), (2, fields[2]), (3, b"127.0.0.1")))
                        known.setdefault("mapping", fields[1])
                        agreed.set()
                        if mode == "grab": end.sendall(frame(0x30, (1, b"\\xff\\xff"), (2, b"\\x00")))
            def serve(end):
                try:
                    first = end.recv(1, socket.MSG_PEEK)
                    session(end) if first == b"\\x16" else channel(end)
                except (OSError, EOFError, KeyError, ValueError, SystemExit): pass
            threading.stack_size(262144)
            listener = socket.create_server(("127.0.0.1", port), backlog=512)
            print("listening", flush=True)
            while True:
                end = listener.accept()[0]
                threading.Thread(target=serve, args=(end,), daemon=True).start()
            """
}

extension Scenario {
    /// A relay of plain data channels. `grab`: it wants as many as there may be, and sends a visitor on each who never
    /// says a word; prints `grabbed` and the number of each hundredth. `halves`: on the first channel something that is
    /// no visitor, on the second half of one; prints after how many seconds each ended. `drains`: says by turns that it
    /// goes and stays.
    public func grabbingRelay(port: Int, offering offered: Int, as mode: String) async throws -> Program {
        try await makeStranger()
        let program = try start(
            "grabbing-relay", "/usr/bin/python3",
            ["-c", Adversary.grabbingRelay, folder, "\(port)", "\(offered)", mode])
        try await program.line(containing: "listening")
        return program
    }
}
