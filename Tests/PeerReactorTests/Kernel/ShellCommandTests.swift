import Foundation
import PeerCore
import Testing

@testable import PeerReactor

@Suite("A command line of the user's", .serialized)
struct ShellCommandTests {
    @Test("is given its environment and nothing else, and its exit status is told")
    func environment() throws {
        let folder = try temporaryFolder()
        let outcome = ShellCommand.run(
            "env > \(folder)/seen; exit 3", environment: ["PATH=/usr/bin:/bin", "P2PRC_HOSTS=a b"], limit: .seconds(5))
        #expect(outcome == .exited(3))
        let seen = try String(contentsOfFile: "\(folder)/seen", encoding: .utf8)
        #expect(seen.contains("P2PRC_HOSTS=a b\n"))
        #expect(!seen.contains("HOME="))
    }

    @Test("has nothing to read, and none of this process's descriptors")
    func descriptors() throws {
        let folder = try temporaryFolder()
        let loop = try EventLoop()
        try loop.start()
        defer { loop.stop() }
        // No pipe and no other program: a shell that starts one has a descriptor more for a moment.
        let look = "cat; i=0; while [ $i -lt 500 ]; do [ -e /proc/$$/fd/$i ] && seen=$seen$i,; i=$((i + 1)); done"
        let outcome = ShellCommand.run(
            "\(look); echo $seen > \(folder)/seen", environment: ["PATH=/usr/bin:/bin"], limit: .seconds(5))
        #expect(outcome == .exited(0))
        #expect(try String(contentsOfFile: "\(folder)/seen", encoding: .utf8) == "0,1,2,\n")
    }

    @Test("is killed with all that it started when its time is over")
    func late() throws {
        let folder = try temporaryFolder()
        let begun = SystemClock.now
        let outcome = ShellCommand.run(
            "sleep 60 & echo $! > \(folder)/child; wait", environment: ["PATH=/usr/bin:/bin"],
            limit: .milliseconds(300))
        #expect(outcome == .tookTooLong)
        #expect(SystemClock.now - begun < .seconds(5))
        let text = try String(contentsOfFile: "\(folder)/child", encoding: .utf8)
        let child = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try eventually("the child is gone") { kill(child, 0) != 0 || isZombie(child) }
    }

    @Test("ends early when it is told to, and does not begin after that")
    func stopped() throws {
        let flag = StopFlag()
        let begun = SystemClock.now
        try SystemThread.detach { flag.raise() }
        #expect(ShellCommand.run("exec sleep 60", environment: [], limit: .seconds(60), unless: flag) == .stopped)
        #expect(SystemClock.now - begun < .seconds(10))
        #expect(ShellCommand.run("exit 0", environment: [], limit: .seconds(5), unless: flag) == .stopped)
    }

    private func isZombie(_ process: pid_t) -> Bool {
        let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        return text.map { $0.contains(") Z ") } ?? true
    }
}
