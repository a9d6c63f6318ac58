import Glibc

/// Outlives a test process that crashed, and clears away what it left: reads one line per thing to clear, and acts when
/// standard input closes.
///
///     pid 1234 987654321      kill this process, if it still has this start time
///     netns NAME              kill what runs in this network namespace and delete it
///     remove PATH             delete this folder
enum Reaper {
    static func run(_ arguments: Arguments) throws {
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, SIG_IGN) }
        var lines: [[Substring]] = []
        while let line = readLine() { lines.append(line.split(separator: " ")) }
        for line in lines where line.count == 3 && line[0] == "pid" {
            guard let pid = pid_t(line[1]), startTime(of: pid) == line[2] else { continue }
            kill(pid, SIGKILL)
        }
        for line in lines where line.count == 2 {
            if line[0] == "netns", access("/run/netns/\(line[1])", F_OK) == 0 {
                run("for p in $(ip netns pids \(line[1])); do kill -9 $p; done; ip netns del \(line[1])")
            }
            if line[0] == "remove", line[1].contains("/p2prc-test-") { run("rm -rf '\(line[1])'") }
        }
    }

    private static func run(_ script: String) {
        var child: pid_t = 0
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup(script), nil]
        defer { for word in words { free(word) } }
        guard posix_spawnp(&child, "sh", nil, nil, &words, environ) == 0 else { return }
        var status: Int32 = 0
        waitpid(child, &status, 0)
    }

    /// Field 22 of /proc/PID/stat; the name in field 2 may hold spaces.
    private static func startTime(of pid: pid_t) -> Substring? {
        guard let file = fopen("/proc/\(pid)/stat", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 1024)
        guard fgets(&line, 1024, file) != nil else { return nil }
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? fields[19] : nil
    }
}
