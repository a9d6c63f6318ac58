import Glibc

/// The tests' other half: services behind a peer and visitors before a relay, in one program.
///
///     labtool <tool> [--option value …]
///
/// A service prints one JSON line once it listens and runs until it is killed. A visitor prints one JSON line as its
/// result and exits with 0 only if everything was right. Every run ends by itself after `--seconds` (exit code 3).
@main
struct LabTool {
    private static let tools: [String: @Sendable (Arguments) throws -> Void] = [
        "echo": Echo.run,
        "banner": Echo.runWithBanner,
        "http": HTTPService.run,
        "answer-after-eof": AnswerAfterEOF.run,
        "reset-mid-download": ResetMidDownload.run,
        "discard": Discard.run,
        "close-then-read": CloseThenRead.run,
        "future-relay": FutureRelay.run,
        "momentary": Momentary.run,
        "fetch": Fetch.run,
        "hitters": Hitters.run,
        "churn": Churn.run,
        "hold": Hold.run,
        "slow-read": SlowRead.run,
        "first-answer": FirstAnswer.run,
        "list-visitor": ListVisitor.run,
        "expect-refused": ExpectRefused.run,
        "expect-abort": ExpectAbort.run,
        "abort": Abort.run,
        "hold-ports": HoldPorts.run,
        "bind-all": BindAll.run,
        "mixed": Mixed.run,
        "garbage": Garbage.run,
        "flood": Flood.run,
        "round-trips": RoundTrips.run,
        "delay-line": DelayLine.run,
        "datagram-echo": DatagramEcho.run,
        "datagram-pings": DatagramPings.run,
        "datagram-forger": DatagramForger.run,
        "reaper": Reaper.run,
    ]

    static func main() {
        signal(SIGPIPE, SIG_IGN)
        let words = Array(CommandLine.arguments.dropFirst())
        guard let name = words.first, let tool = tools[name] else {
            complain("usage: labtool <\(tools.keys.sorted().joined(separator: "|"))> [--option value …]")
            exit(64)
        }
        do {
            let arguments = try Arguments(tool: name, words: Array(words.dropFirst()))
            if name != "reaper" { try Watchdog.start(arguments) }
            try tool(arguments)
        } catch let error as UsageError {
            complain("labtool \(name): \(error.text)")
            exit(64)
        } catch {
            Report(name, ok: false).with("error", "\(error)").finish()
        }
    }
}

func complain(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = write(2, line, line.count)
}
