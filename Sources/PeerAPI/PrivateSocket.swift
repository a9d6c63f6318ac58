internal import FoundationEssentials

/// A Unix socket that nobody but this user can open, from its first moment on.
///
/// A socket's rights come from the process's umask, which all threads share. So it is bound in a folder of its own
/// (0700), gets its rights (0600), and only then moves to where it is looked for.
struct PrivateSocket: Sendable {
    let path: String

    /// - Parameter body: binds and listens at the path that it is given.
    static func bind<Listener>(
        at path: String, _ body: (String) async throws -> Listener
    ) async throws(APIError) -> (PrivateSocket, Listener) {
        let files = FileManager.default
        let folder = String(path.prefix(path.count - (path.split(separator: "/").last?.count ?? 0))) + ".api"
        let draft = folder + "/s"
        if let type = try? files.attributesOfItem(atPath: path)[.type] as? FileAttributeType, type != .typeSocket {
            throw APIError("the API cannot listen on \(path): something that is no socket is there; move it away")
        }
        do {
            // What a crash left behind.
            try? files.removeItem(atPath: folder)
            try files.createDirectory(
                atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
            defer { try? files.removeItem(atPath: folder) }
            let listener = try await body(draft)
            try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: draft)
            try? files.removeItem(atPath: path)
            try files.moveItem(atPath: draft, toPath: path)
            return (PrivateSocket(path: path), listener)
        } catch {
            throw APIError("the API cannot listen on \(path): \(error); the folder must be writable")
        }
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
