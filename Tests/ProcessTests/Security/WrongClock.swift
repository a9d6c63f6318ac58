import Foundation
import TestSupport
import Testing

/// Programs whose wall clock is wrong (libfaketime); time that is measured goes on as it does.
enum WrongClock {
    static let right = ""

    /// What to start a program by. The library changes the environment when it is loaded, and Swift finds a program's
    /// arguments by where the environment begins; so it is loaded twice: by an `env` that changes it, and by the
    /// program that inherits it as it is then.
    ///
    /// - Parameter time: as in faketime(1): "@1970-01-01 00:01:00", or "-1d".
    static func wrapper(_ time: String) throws -> [String] {
        try time == right ? [] : wrapper(settings: ["FAKETIME=\(time)"])
    }

    /// The same with a time that changes while the program runs: the file holds it.
    static func wrapper(file: String) throws -> [String] {
        try wrapper(settings: ["FAKETIME_TIMESTAMP_FILE=\(file)", "FAKETIME_NO_CACHE=1"])
    }

    private static func wrapper(settings: [String]) throws -> [String] {
        let folders = try FileManager.default.contentsOfDirectory(atPath: "/usr/lib").map { "/usr/lib/\($0)" }
        let library = folders.map { "\($0)/faketime/libfaketimeMT.so.1" }
            .first { FileManager.default.fileExists(atPath: $0) }
        let file = try #require(library, "install faketime (scripts/setup test)")
        return ["env", "LD_PRELOAD=\(file)"] + settings + ["FAKETIME_DONT_FAKE_MONOTONIC=1", "TZ=UTC", "env"]
    }

    /// What the library leaves behind of a process that was another one when it was loaded.
    static func cleanUp(_ nodes: Node...) {
        for name in nodes.flatMap({ ["faketime_shm_\($0.program.pid)", "sem.faketime_sem_\($0.program.pid)"] }) {
            try? FileManager.default.removeItem(atPath: "/dev/shm/\(name)")
        }
    }
}
