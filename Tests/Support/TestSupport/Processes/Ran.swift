import Foundation

/// What a short command of the system said, and how it ended.
///
/// Foundation's `Process` is not used: it writes to and reads from pipes with methods that end the whole test run when
/// the other side is gone. Here all three are files, so nothing blocks and nothing breaks.
public struct Ran {
    /// Its exit code, or 128 plus the signal that ended it.
    public let status: Int
    public let output: String
    public let errors: String
    /// What it said on either.
    public var words: String { output + errors }

    /// Waits for its end.
    ///
    /// - Parameter words: the program, looked up on the PATH, and its arguments.
    public init(_ words: [String], input: String = "") throws {
        guard let name = words.first, let program = Binaries.find(name) else {
            throw Failure("\(words.first ?? "a command without words") is not installed")
        }
        let files = try (0..<3).map { _ in try Self.namelessFile() }
        defer { for file in files { close(file) } }
        try Self.fill(files[0], with: input)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, file) in files.enumerated() { posix_spawn_file_actions_adddup2(&actions, file, Int32(number)) }
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + words.dropFirst()).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] =
            ProcessInfo.processInfo.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for word in argv + envp { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, program, &actions, nil, &argv, &envp)
        guard code == 0 else { throw Failure("\(program) does not start: errno \(code)") }
        var raw: Int32 = 0
        while waitpid(child, &raw, 0) < 0, errno == EINTR {}
        status = raw & 0x7F == 0 ? Int(raw >> 8 & 0xFF) : 128 + Int(raw & 0x7F)
        output = Self.text(of: files[1])
        errors = Self.text(of: files[2])
    }

    /// Whether the command is there and ends well.
    public static func isInstalled(_ command: String...) -> Bool { (try? Ran(command))?.status == 0 }

    private static let counter = Locked(0)

    private static func namelessFile() throws -> Int32 {
        let number = counter.with { count -> Int in
            count += 1
            return count
        }
        let path = "\(NSTemporaryDirectory())p2prc-ran-\(getpid())-\(number)"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure("\(path): errno \(errno)") }
        unlink(path)
        return file
    }

    private static func fill(_ file: Int32, with input: String) throws {
        let bytes = Array(input.utf8)
        guard write(file, bytes, bytes.count) == bytes.count, lseek(file, 0, SEEK_SET) == 0 else {
            throw Failure("a command's input cannot be written: errno \(errno)")
        }
    }

    private static func text(of file: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: Int(lseek(file, 0, SEEK_END)))
        let count = pread(file, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }
}
