import Foundation

/// Where the programs under test are.
public enum Binaries {
    /// The package's folder, known from this file's place in it.
    public static let package: String = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { url.deleteLastPathComponent() }
        return url.path
    }()

    /// `P2PRC_BINARY`, else the release build, else the debug build.
    public static func product() throws -> String {
        if let path = ProcessInfo.processInfo.environment["P2PRC_BINARY"], !path.isEmpty {
            guard isProgram(path) else { throw Failure("P2PRC_BINARY=\(path) is not an executable file") }
            return path
        }
        for path in ["release", "debug"].map({ "\(package)/.build/\($0)/p2prc" }) where isProgram(path) { return path }
        throw Failure("no p2prc to test: run `swift build -c release --product p2prc`, or set P2PRC_BINARY")
    }

    /// A released program that the one under test has to get on with: `P2PRC_OLD_BINARY`.
    public static let former = ProcessInfo.processInfo.environment["P2PRC_OLD_BINARY"].flatMap {
        isProgram($0) ? $0 : nil
    }

    /// Beside the test bundle, else in the build folder.
    public static func labtool() throws -> String {
        let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(fileURLWithPath: bundle).deletingLastPathComponent().path + "/labtool"
        let places = [
            ProcessInfo.processInfo.environment["P2PRC_LABTOOL"] ?? "", beside, "\(package)/.build/debug/labtool",
            "\(package)/.build/release/labtool",
        ]
        guard let path = places.first(where: isProgram) else {
            throw Failure("no labtool: run `swift build --product labtool`")
        }
        return path
    }

    /// A program of the system, by its name.
    public static func find(_ name: String) -> String? {
        if name.contains("/") { return isProgram(name) ? name : nil }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        return folders.map { "\($0)/\(name)" }.first(where: isProgram)
    }

    private static func isProgram(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
            && FileManager.default.isExecutableFile(atPath: path)
    }
}
