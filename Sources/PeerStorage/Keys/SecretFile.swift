/// A small file that only its owner may read: never shown to others.
public enum SecretFile {
    static let longest = 65_536

    /// The content; `nil` when there is no such file. One that others may read is refused.
    public static func read(at path: String) throws(StorageError) -> [UInt8]? {
        guard let content = try Disk.read(path, limit: longest) else { return nil }
        guard content.mode & 0o077 == 0 else {
            let rights = String(content.mode, radix: 8)
            throw StorageError(
                .exposed, path: path, detail: "others on this machine may use this secret (mode \(rights))")
        }
        return content.bytes
    }

    /// Writes a new one (0600), whole or not at all, and flushed to the disk.
    ///
    /// - Returns: `false` when there was one already; it was not touched.
    public static func create(_ bytes: [UInt8], at path: String) throws(StorageError) -> Bool {
        try Disk.writeAtomically(bytes, to: path, mode: 0o600, placement: .onlyIfAbsent)
    }

    /// Writes it (0600) in place of what is there, whole or not at all, and flushed to the disk.
    public static func replace(_ bytes: [UInt8], at path: String) throws(StorageError) {
        _ = try Disk.writeAtomically(bytes, to: path, mode: 0o600, placement: .replacing)
    }
}
