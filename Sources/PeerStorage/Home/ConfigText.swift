/// The bytes of `config.toml`. It belongs to the user: it is never written, replaced or put aside.
public enum ConfigText {
    /// Bytes; a longer file is no configuration.
    public static let longest = 1 << 20

    /// `nil` where there is no file. Too long a one is `.damaged`.
    public static func read(_ paths: HomePaths) throws(StorageError) -> [UInt8]? {
        do throws(StorageError) {
            return try Disk.read(paths.config, limit: longest)?.bytes
        } catch {
            throw error.kind == .damaged ? damaged(paths, error.detail) : error
        }
    }

    /// - Parameter detail: what is wrong, and in which line.
    public static func damaged(_ paths: HomePaths, _ detail: String) -> StorageError {
        StorageError(
            .damaged, path: paths.config, detail: detail, advice: "correct the file (docs/files.md has all keys)")
    }
}
