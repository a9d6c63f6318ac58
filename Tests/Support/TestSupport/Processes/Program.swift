import Foundation

/// A child process with its output in files: started at once, killed at the latest when this object goes.
///
/// Output is collected, never shown; `transcript` is what a failing test prints.
public final class Program: @unchecked Sendable {
    public let name: String
    public let pid: pid_t
    public let words: [String]

    private let folder: String
    private let input: Int32
    private let state = Locked<State>(State())

    private struct State {
        var status: Int32?
        var inputOpen = true
    }

    /// - Parameters:
    ///   - namespace: the network namespace to run in; `ip netns exec` becomes the program, so the pid is its own.
    ///   - folder: where the output files go.
    public init(
        _ name: String, _ executable: String, _ arguments: [String], environment: [String: String] = [:],
        namespace: String? = nil, folder: String, standardInput: String? = nil
    ) throws {
        guard let found = Binaries.find(executable) else { throw Failure("\(executable) is not installed") }
        var words = [found] + arguments
        if let namespace {
            guard let ip = Binaries.find("ip") else { throw Failure("ip is not installed") }
            words = [ip, "netns", "exec", namespace] + words
        }
        let number = Program.counter.with { count -> Int in
            count += 1
            return count
        }
        self.name = "\(name)#\(number)"
        self.words = words
        self.folder = "\(folder)/\(number)-\(name)"
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)

        let ends = try CloseOnExec.pipe()
        defer { close(ends.read) }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let standardInput {
            posix_spawn_file_actions_addopen(&actions, 0, standardInput, O_RDONLY, 0)
        } else {
            posix_spawn_file_actions_adddup2(&actions, ends.read, 0)
        }
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 1, "\(self.folder)/stdout", flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, "\(self.folder)/stderr", flags, 0o600)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var every = sigset_t()
        sigfillset(&every)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &every)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        let options = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP
        posix_spawnattr_setflags(&attributes, Int16(options))

        var variables = ProcessInfo.processInfo.environment
        variables["P2PRC"] = nil
        // For the tests themselves. A program with Swift's libraries inside says that it finds no backtracer.
        variables["SWIFT_BACKTRACE"] = nil
        variables.merge(environment) { $1 }
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for word in argv + envp { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, words[0], &actions, &attributes, &argv, &envp)
        guard code == 0 else {
            close(ends.write)
            throw Failure("\(words[0]) does not start: errno \(code)")
        }
        pid = child
        input = ends.write
        Undertaker.shared.watch(pid: child)
    }

    deinit {
        kill()
        closeInput()
    }

    private static let counter = Locked(0)

    // MARK: Life

    /// Nil while it runs; else its exit code, or 128 plus the signal that ended it.
    public var status: Int? {
        state.with { state in
            if state.status == nil {
                var raw: Int32 = 0
                if waitpid(pid, &raw, WNOHANG) == pid { state.status = raw }
            }
            return state.status.map { $0 & 0x7F == 0 ? Int($0 >> 8 & 0xFF) : 128 + Int($0 & 0x7F) }
        }
    }

    public var isRunning: Bool { status == nil }

    public func signal(_ number: Int32) {
        // Under the lock that reaping takes: a pid once reaped may belong to somebody else.
        state.with { state in
            if state.status == nil { _ = Foundation.kill(pid, number) }
        }
    }

    /// SIGKILL, and gone when this returns.
    public func kill() {
        guard isRunning else { return }
        signal(SIGKILL)
        signal(SIGCONT)
        while isRunning { usleep(1000) }
    }

    public func closeInput() {
        state.with { state in
            if state.inputOpen { close(input) }
            state.inputOpen = false
        }
    }

    /// Waits for its end and returns the exit code.
    @discardableResult
    public func exit(within limit: Duration = .seconds(10)) async throws -> Int {
        try await eventually("\(name) ends", within: limit) { status }
    }

    /// SIGTERM, then its exit code.
    @discardableResult
    public func terminate(within limit: Duration = .seconds(10)) async throws -> Int {
        signal(SIGTERM)
        return try await exit(within: limit)
    }

    // MARK: Output

    public var stdout: String { read("stdout") }
    public var stderr: String { read("stderr") }
    public var stdoutFile: String { "\(folder)/stdout" }

    /// Waits for a line on either output that holds `text`; an end of the program without it is an error at once.
    @discardableResult
    public func line(containing text: String, within limit: Duration = .seconds(10)) async throws -> String {
        try await eventually("\(name) prints \"\(text)\"", within: limit) {
            let ended = status
            if let line = find(text) { return line }
            if let ended { throw Fatal(description: "it ended with \(ended) before") }
            return nil
        }
    }

    /// A whole line: of a long one the first part may be there before the rest, while it runs.
    public func find(_ text: String) -> String? {
        let mayGrow = isRunning
        for output in [stdout, stderr] {
            let end = mayGrow ? output.lastIndex(of: "\n") ?? output.startIndex : output.endIndex
            if let line = output[..<end].split(separator: "\n").first(where: { $0.contains(text) }) {
                return String(line)
            }
        }
        return nil
    }

    /// All of the last JSON line on standard output.
    public func json() throws -> [String: Any] {
        guard let line = stdout.split(separator: "\n").last,
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        else { throw Failure("\(name) printed no JSON line: \(stdout.suffix(500))") }
        return object
    }

    /// For the message of a failing test.
    public var transcript: String {
        let end = status.map { "ended with \($0)" } ?? "still running"
        return """
            --- \(name) (pid \(pid), \(end)): \(words.joined(separator: " "))
            \(Program.tail("stdout", stdout))\(Program.tail("stderr", stderr))
            """
    }

    private func read(_ file: String) -> String {
        guard let data = FileManager.default.contents(atPath: "\(folder)/\(file)") else { return "" }
        return String(decoding: data, as: UTF8.self)
    }

    private static func tail(_ label: String, _ text: String) -> String {
        if text.isEmpty { return "" }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).suffix(60)
            .map { "    \(label): \($0.prefix(400))" }
        return lines.joined(separator: "\n") + "\n"
    }
}
