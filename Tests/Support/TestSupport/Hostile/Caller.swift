import Foundation

/// A visitor who stays on one connection and has a byte echoed again and again.
public struct Caller: Sendable {
    private let program: Program

    fileprivate static let script = """
        import socket, sys, time
        end = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
        end.settimeout(5)
        count = 0
        try:
            while True:
                end.sendall(b"x")
                if end.recv(1) != b"x": break
                count += 1
                print("echoed", count, flush=True)
                time.sleep(0.02)
        except OSError: pass
        print("broken off", flush=True)
        """

    fileprivate init(_ program: Program) { self.program = program }

    /// Waits until so many more bytes than now have come back on the very same connection.
    public func echoes(_ more: Int, within limit: Duration = .seconds(10)) async throws {
        let before = count
        try await eventually("\(more) more echoes", within: limit) {
            if program.find("broken off") != nil { throw Fatal(description: "it was broken off") }
            return count >= before + more
        }
    }

    public func brokenOff(within limit: Duration) async throws {
        try await program.line(containing: "broken off", within: limit)
    }

    private var count: Int { program.stdout.split(separator: "\n").filter { $0.hasPrefix("echoed") }.count }
}

extension Scenario {
    /// Connects to an echo behind a public port, and is being served when this returns.
    public func caller(at port: Int) async throws -> Caller {
        let program = try start("caller", "/usr/bin/python3", ["-c", Caller.script, "\(port)"])
        let caller = Caller(program)
        try await caller.echoes(2)
        return caller
    }
}
