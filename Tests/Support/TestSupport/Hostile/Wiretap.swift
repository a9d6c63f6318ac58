import Foundation

/// Somebody on the wire between two nodes: passes every byte on and keeps a record of it.
public struct Wiretap: Sendable {
    public let port: Int
    private let folder: String
    private let program: Program

    /// Every connection so far, in the order in which they came: what went to the relay, and what came back.
    public func connections() throws -> [(toRelay: Data, toPeer: Data)] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".up") }
        return names.compactMap { Int($0.dropLast(3)) }.sorted().map { number in
            let read = { (way: String) in
                FileManager.default.contents(atPath: "\(folder)/\(number).\(way)") ?? Data()
            }
            return (read("up"), read("down"))
        }
    }

    public func everything() throws -> Data {
        try connections().reduce(into: Data()) { $0 += $1.toRelay + $1.toPeer }
    }

    /// Every occurrence that `words` have on the wire, by their names.
    public func findings(of words: [String: Data]) throws -> [String] {
        let all = try everything()
        return words.filter { all.range(of: $0.value) != nil }.map(\.key).sorted()
    }

    public func stop() { program.kill() }

    fileprivate static let script = """
        import os, socket, sys, threading
        port, there, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
        def carry(source, sink, file):
            try:
                with open(file, "wb", buffering=0) as record:
                    while True:
                        data = source.recv(65536)
                        if not data: break
                        record.write(data)
                        sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                for end in (source, sink):
                    try: end.shutdown(socket.SHUT_RDWR)
                    except OSError: pass
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        print("listening", flush=True)
        number = 0
        while True:
            near, _ = listener.accept()
            number += 1
            try: far = socket.create_connection(("127.0.0.1", there))
            except OSError:
                near.close()
                continue
            for ends in ((near, far, "up"), (far, near, "down")):
                name = os.path.join(folder, f"{number}.{ends[2]}")
                open(name, "wb").close()
                threading.Thread(target=carry, args=(ends[0], ends[1], name), daemon=True).start()
        """

    fileprivate init(port: Int, folder: String, program: Program) {
        self.port = port
        self.folder = folder
        self.program = program
    }
}

extension Scenario {
    /// Listens in on what goes to `port` by way of another one.
    public func wiretap(to port: Int) async throws -> Wiretap {
        let own = try FreePorts.one()
        let folder = "\(folder)/wiretap-\(own)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let program = try start("wiretap", "/usr/bin/python3", ["-c", Wiretap.script, "\(own)", "\(port)", folder])
        try await program.line(containing: "listening")
        return Wiretap(port: own, folder: folder, program: program)
    }
}
