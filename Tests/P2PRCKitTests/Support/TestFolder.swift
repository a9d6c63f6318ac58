import Foundation

/// A folder of its own for one test, gone when the test is.
final class TestFolder: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "p2prc-kit-\(UInt64.random(in: 0 ... .max))").path

    init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? [] }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
    }
}
