import Foundation

/// Somebody who takes a relay's place on the way: ends TLS with a key of its own and reads what comes out.
public struct Impostor: Sendable {
    public enum Manner: String, CaseIterable, Sendable {
        /// Passes what it reads on to the true relay, over a TLS connection of its own.
        case forward
        /// Plays an open relay itself: lets everybody in and waits for what they say then.
        case open
    }

    public let port: Int
    private let file: String
    private let program: Program

    /// All that it has read so far, from either side.
    public func heard() -> Data { FileManager.default.contents(atPath: file) ?? Data() }

    /// The connections whose TLS stood as far as it could see.
    public func secured() -> Int { program.stdout.split(separator: "\n").filter { $0 == "secured" }.count }

    public func stop() { program.kill() }

    fileprivate static let script = """
        import socket, ssl, sys, threading
        port, there, manner, folder, file = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
        def context(side):
            made = ssl.SSLContext(side)
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            made.set_alpn_protocols(["p2prc/1"])
            made.load_cert_chain(folder + "/stranger.crt", folder + "/stranger.key")
            return made
        server, client = context(ssl.PROTOCOL_TLS_SERVER), context(ssl.PROTOCOL_TLS_CLIENT)
        record = open(file, "ab", buffering=0)
        def carry(source, sink):
            try:
                while data := source.recv(65536):
                    record.write(data)
                    sink.sendall(data)
            except OSError: pass
            for end in (source, sink):
                try: end.shutdown(socket.SHUT_RDWR)
                except OSError: pass
        def serve(near):
            near.settimeout(10)
            try:
                near = server.wrap_socket(near, server_side=True)
                print("secured", flush=True)
                if manner == "forward":
                    far = client.wrap_socket(socket.create_connection(("127.0.0.1", there)))
                    threading.Thread(target=carry, args=(far, near), daemon=True).start()
                    carry(near, far)
                    return
                # membership: ground 3 (anybody may come in), no proof.
                record.write(near.recv(65536))
                near.sendall(bytes.fromhex("07000007" "01000103" "020000"))
                while data := near.recv(65536): record.write(data)
            except OSError: pass
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        print("listening", flush=True)
        while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        """

    fileprivate init(port: Int, file: String, program: Program) {
        self.port = port
        self.file = file
        self.program = program
    }
}

extension Scenario {
    /// Stands between somebody and the relay at `port`.
    public func impostor(_ manner: Impostor.Manner, of port: Int) async throws -> Impostor {
        try await makeStranger()
        let own = try FreePorts.one()
        let file = "\(folder)/impostor-\(own)"
        let program = try start(
            "impostor", "/usr/bin/python3",
            ["-c", Impostor.script, "\(own)", "\(port)", manner.rawValue, folder, file])
        try await program.line(containing: "listening")
        return Impostor(port: own, file: file, program: program)
    }
}
