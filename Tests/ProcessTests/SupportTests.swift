import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Services and visitors against each other, without anything between them: what fails here is not p2prc.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct SupportTests {
        @Test("five hundred visitors echo at a service that is reached directly")
        func hitters() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let options = ["--port", "\(echo.port)", "--connections", "500", "--bytes", "16KiB", "--half-close"]
                let result = try await s.visit("hitters", options)
                #expect(result["succeeded"] as? Int == 500)
            }
        }

        @Test("a download that is reset is told from one that ends")
        func aborts() async throws {
            try await scenario { s in
                let reset = try await s.service("reset-mid-download", ["--bytes", "1MiB"])
                try await s.visit("expect-abort", ["--port", "\(reset.port)"], seconds: 5)
                let discard = try await s.service("discard")
                try await s.visit("abort", ["--port", "\(discard.port)"], seconds: 5)
                try await discard.program.line(containing: "ECONNRESET", within: .seconds(2))
            }
        }

        @Test("a service that dies in the middle of an answer resets its streams")
        func death() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--abort-when-killed"])
                #expect(try await s.curl("http://127.0.0.1:\(http.port)/") == "hello from labtool\n")
                let visitor = try s.startVisitor(
                    "expect-abort", ["--port", "\(http.port)", "--rate", "1MiB"], seconds: 5)
                try await visitor.line(containing: "downloading")
                http.program.kill()
                #expect(try await visitor.exit() == 0)
            }
        }

        @Test("half-closed streams carry the rest in both directions")
        func halfClose() async throws {
            try await scenario { s in
                try await HalfClose(s, host: "127.0.0.1").check { $0 }
            }
        }

        @Test("a program that ended is reported with its exit code and what it printed")
        func transcripts() async throws {
            await #expect {
                try await scenario { s in
                    try await s.run("sh", "sh", ["-c", "echo to-stdout; echo to-stderr >&2; exit 7"])
                    throw Failure("on purpose")
                }
            } throws: { error in
                let text = "\(error)"
                return ["on purpose", "ended with 7", "stdout: to-stdout", "stderr: to-stderr"].allSatisfy(
                    text.contains)
            }
        }

        @Test("nothing is left of a scenario: neither programs nor files")
        func cleanUp() async throws {
            var pid: pid_t = 0
            var folder = ""
            try await scenario { s in
                folder = s.folder
                pid = try s.start("sleep", "sleep", ["1000"]).pid
                #expect(kill(pid, 0) == 0)
            }
            #expect(kill(pid, 0) != 0)
            #expect(!FileManager.default.fileExists(atPath: folder))
        }

        @Test("free ports come once, and ranges without holes")
        func ports() throws {
            let some = try (0..<50).map { _ in try FreePorts.one() }
            #expect(Set(some).count == 50)
            let range = try FreePorts.range(1000)
            #expect(range.count == 1000 && range.upperBound < 32768)
            #expect(some.allSatisfy { !range.contains($0) })
        }
    }
}
