import Foundation

/// The half-close in both directions, with nc as the visitor. Used with and without p2prc between the two.
public struct HalfClose {
    private let scenario: Scenario
    private let host: String
    private let visitor: Place
    private let home: Place
    private let bytes: Int

    public init(
        _ scenario: Scenario, host: String, visitor: Place = .here, home: Place = .here, bytes: Int = 5_000_000
    ) {
        self.scenario = scenario
        self.host = host
        self.visitor = visitor
        self.home = home
        self.bytes = bytes
    }

    /// - Parameter publicPort: from the port that a service listens on to the one that a visitor dials.
    public func check(_ publicPort: (Int) async throws -> Int) async throws {
        let file = "\(scenario.folder)/half-close"
        try await scenario.shell("head -c \(bytes) /dev/urandom > \(file)")
        let digest = String(try await scenario.shell("sha256sum < \(file)").stdout.prefix(64))

        // The visitor finishes first and gets its answer all the same.
        let answering = try await scenario.service("answer-after-eof", in: home)
        var port = try await publicPort(answering.port)
        let answer = try await scenario.shell(
            "timeout 20 nc -N \(host) \(port) < \(file)", in: visitor, within: .seconds(30))
        guard answer.stdout == "\(digest) \(bytes)\n" else {
            throw Failure("after the visitor's half-close came \"\(answer.stdout)\" instead of \(digest) \(bytes)")
        }

        // The service finishes first and gets the rest all the same.
        let reading = try await scenario.service("close-then-read", in: home)
        port = try await publicPort(reading.port)
        let said = try await scenario.shell(
            "(sleep 0.5; cat \(file)) | timeout 20 nc -N \(host) \(port)", in: visitor, within: .seconds(30))
        guard said.stdout == "that is all from me\n" else {
            throw Failure("the service's one line came as \"\(said.stdout)\"")
        }
        // Other lines are those of connections that only asked whether somebody is there.
        let line = try await reading.program.line(containing: digest, within: .seconds(5))
        guard line.contains("end of stream") else {
            throw Failure("after the service's half-close the visitor's stream ended with \(line)")
        }
    }
}
