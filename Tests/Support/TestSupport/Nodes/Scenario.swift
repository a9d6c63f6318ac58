import Foundation

/// One test's world: a folder, the programs in it, perhaps a laboratory. All of it is gone afterwards; when the test
/// throws, the error carries what every program printed.
///
///     try await scenario { s in
///         let echo = try await s.service("echo")
///         …
///     }
public func scenario(_ body: (Scenario) async throws -> Void) async throws {
    await Turnstile.shared.enter()
    defer { Turnstile.shared.leave() }
    let scenario = try Scenario()
    do {
        try await body(scenario)
        scenario.close()
    } catch {
        let transcript = await scenario.nodesSay() + scenario.transcript
        scenario.close()
        // A failed expectation has been reported already, with its place; its own description is a page long.
        let expected = String(describing: type(of: error)) == "ExpectationFailedError"
        throw Failure("\(expected ? "the programs of this test:" : "\(error)")\n\(transcript)")
    }
}

public final class Scenario: @unchecked Sendable {
    public let folder: String

    private let state = Locked<State>(State())

    private struct State {
        var programs: [Program] = []
        var cleanUps: [@Sendable () -> Void] = []
        var notes: [String] = []
        var nodes: [Node] = []
    }

    fileprivate init() throws {
        let template = NSTemporaryDirectory() + "p2prc-test-\(getpid())-\(UInt32.random(in: 0...9_999_999))"
        try FileManager.default.createDirectory(atPath: template, withIntermediateDirectories: true)
        folder = template
        Undertaker.shared.watch(folder: template)
    }

    // MARK: Programs

    /// Starts a program; it is killed when the scenario ends.
    @discardableResult
    public func start(
        _ name: String, _ executable: String, _ arguments: [String], environment: [String: String] = [:],
        in place: Place = .here, standardInput: String? = nil
    ) throws -> Program {
        let program = try Program(
            name, executable, arguments, environment: environment, namespace: place.namespace,
            folder: "\(folder)/output", standardInput: standardInput)
        state.with { $0.programs.append(program) }
        return program
    }

    /// Runs a program to its end.
    @discardableResult
    public func run(
        _ name: String, _ executable: String, _ arguments: [String], environment: [String: String] = [:],
        in place: Place = .here, standardInput: String? = nil, within limit: Duration = .seconds(20)
    ) async throws -> Finished {
        let program = try start(
            name, executable, arguments, environment: environment, in: place, standardInput: standardInput)
        if standardInput == nil { program.closeInput() }
        do {
            let status = try await program.exit(within: limit)
            return Finished(program: program, status: status, stdout: program.stdout, stderr: program.stderr)
        } catch {
            program.kill()
            throw error
        }
    }

    /// Forgets a program's output, so that a thousand small queries do not fill a failing test's message.
    public func forget(_ program: Program) {
        state.with { state in state.programs.removeAll { $0 === program } }
    }

    // MARK: labtool

    /// Starts one of labtool's services on a free port (or on `port`) and waits until it listens.
    public func service(
        _ tool: String, port: Int? = nil, _ options: [String] = [], in place: Place = .here
    ) async throws -> Service {
        let chosen = try port ?? FreePorts.one()
        let words = [tool, "--port", "\(chosen)", "--seconds", "1800"] + options
        let program = try start(tool, Binaries.labtool(), words, in: place)
        try await program.line(containing: "\"listening\"", within: .seconds(10))
        return Service(program: program, port: chosen)
    }

    /// Starts one of labtool's visitors.
    public func startVisitor(
        _ tool: String, _ options: [String], seconds: Int = 60, in place: Place = .here
    ) throws -> Program {
        try start(tool, Binaries.labtool(), [tool, "--seconds", "\(seconds)"] + options, in: place)
    }

    /// Runs one of labtool's visitors and wants it to find everything right.
    @discardableResult
    public func visit(
        _ tool: String, _ options: [String], seconds: Int = 60, in place: Place = .here
    ) async throws -> [String: Any] {
        let program = try startVisitor(tool, options, seconds: seconds, in: place)
        program.closeInput()
        let status = try await program.exit(within: .seconds(seconds + 10))
        guard status == 0 else { throw Failure("labtool \(tool) found: \(program.stdout)\(program.stderr)") }
        return try program.json()
    }

    /// The port must refuse connections, several times in a row.
    public func expectRefused(_ address: String, _ port: Int, times: Int = 3, in place: Place = .here) async throws {
        try await visit(
            "expect-refused", ["--address", address, "--port", "\(port)", "--times", "\(times)"], seconds: 10, in: place
        )
    }

    /// One connection that echoes.
    public func expectEcho(_ address: String, _ port: Int, in place: Place = .here) async throws {
        let options = ["--address", address, "--port", "\(port)", "--connections", "1", "--bytes", "1KiB"]
        let result = try startVisitor("hitters", options, seconds: 10, in: place)
        guard try await result.exit(within: .seconds(15)) == 0 else {
            throw Failure("no echo at \(address):\(port): \(result.stdout)")
        }
        forget(result)
    }

    /// Knocks every 10 ms until the port echoes; how many milliseconds that took.
    public func firstAnswer(
        _ address: String, _ port: Int, within seconds: Int = 20, in place: Place = .here
    ) async throws -> Int {
        let options = ["--address", address, "--port", "\(port)"]
        return try await visit("first-answer", options, seconds: seconds, in: place)["milliseconds"] as? Int ?? -1
    }

    /// GET with curl: body only; any failure of curl is an error.
    public func curl(_ url: String, _ options: [String] = [], in place: Place = .here) async throws -> String {
        let words = ["-sS", "--fail", "--max-time", "10"] + options + [url]
        let result = try await run("curl", "curl", words, in: place, within: .seconds(15))
        guard result.status == 0 else { throw Failure("curl \(url): \(result.status) \(result.stderr)") }
        forget(result.program)
        return result.stdout
    }

    /// A line of shell, for pipes: `curl … | sha256sum`.
    @discardableResult
    public func shell(_ line: String, in place: Place = .here, within limit: Duration = .seconds(60)) async throws
        -> Finished
    {
        try await run("sh", "bash", ["-o", "pipefail", "-c", line], in: place, within: limit)
    }

    // MARK: End

    /// Something to undo when the scenario ends, after the programs are dead.
    func atEnd(_ body: @escaping @Sendable () -> Void) { state.with { $0.cleanUps.append(body) } }

    /// A line for the message of a failing test; with `P2PRC_NOTES=1` it is printed at once.
    public func note(_ text: String) {
        state.with { $0.notes.append(text) }
        if ProcessInfo.processInfo.environment["P2PRC_NOTES"] == "1" {
            FileHandle.standardError.write(Data("note: \(text)\n".utf8))
        }
    }

    func remember(_ node: Node) { state.with { $0.nodes.append(node) } }

    /// What the nodes that still run say of themselves.
    fileprivate func nodesSay() async -> String {
        var text = ""
        for node in state.with({ $0.nodes }) where node.program.isRunning {
            // A task of its own: this one may have been cancelled by the test's time limit.
            let asked = Task { try await node.command(["status", "--json"], within: .seconds(3)) }
            guard let answer = try? await asked.value else {
                text += "--- \(node.program.name) gave no status\n"
                continue
            }
            forget(answer.program)
            let lines = answer.stdout.split(separator: "\n").map { $0.drop { $0 == " " } }
            text += "--- status of \(node.program.name): \(lines.joined(separator: " ").prefix(3000))\n"
        }
        return text
    }

    fileprivate var transcript: String {
        let (programs, notes) = state.with { ($0.programs, $0.notes) }
        return (notes.map { "note: \($0)" } + programs.map(\.transcript)).joined(separator: "\n")
    }

    fileprivate func close() {
        let (programs, cleanUps) = state.with { ($0.programs, $0.cleanUps) }
        for program in programs.reversed() { program.kill() }
        for body in cleanUps.reversed() { body() }
        try? FileManager.default.removeItem(atPath: folder)
    }
}

/// Where a program runs: here, or in a network namespace of a laboratory.
public struct Place: Sendable {
    public let namespace: String?
    public static let here = Place(namespace: nil)
}

public struct Service: Sendable {
    public let program: Program
    public let port: Int
}

public struct Finished: Sendable {
    public let program: Program
    public let status: Int
    public let stdout: String
    public let stderr: String
}
