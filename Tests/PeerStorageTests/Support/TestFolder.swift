import Foundation
import Glibc
import PeerCore
import PeerStorage
import PeerWire

/// A folder of its own for one test, gone when the test is.
final class TestFolder: Sendable {
    let path: String

    init(in parent: String = "/tmp") {
        var template = Array("\(parent)/p2prc-storage-XXXXXX".utf8CString)
        self.path = String(cString: mkdtemp(&template)!)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? [] }
    func home() throws -> Home { try Home.open(at: path) }
}

func bytes(of path: String) -> [UInt8]? { FileManager.default.contents(atPath: path).map(Array.init) }

func write(_ text: String, to path: String, mode: mode_t = 0o644) {
    _ = FileManager.default.createFile(atPath: path, contents: Data(text.utf8))
    chmod(path, mode)
}

func mode(of path: String) -> mode_t {
    var info = stat()
    stat(path, &info)
    return info.st_mode & 0o7777
}

extension NodeKey {
    /// A key that is easy to tell from others.
    static func number(_ number: UInt8) -> NodeKey { NodeKey(bytes: [UInt8](repeating: number, count: 32))! }
}

extension WallTime {
    static let someday = WallTime(seconds: 1_900_000_000)
}

extension UnixTime {
    static let someday = UnixTime(.someday)
    static func + (time: UnixTime, milliseconds: Int64) -> UnixTime {
        UnixTime(milliseconds: time.milliseconds + milliseconds)
    }
}
