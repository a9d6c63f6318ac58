public import PeerWire

/// P2PRC's `ip_table.json`, anywhere on the disk.
public enum P2PRCTableFile {
    /// The text of a file, as far as a table may be long; fails with `.missing` when there is none, with `.damaged`
    /// when it is longer.
    public static func read(_ path: String) throws(StorageError) -> [UInt8] {
        guard let content = try Disk.read(path, limit: P2PRCTable.maximumByteCount) else {
            throw StorageError(.missing, path: path, detail: "there is no such file")
        }
        return content.bytes
    }

    /// In place of what is there, whole or not at all.
    public static func write(_ table: P2PRCTable, to path: String) throws(StorageError) {
        if try Disk.kind(of: path) == 0o040000 {
            throw StorageError(.notAFile, path: path, detail: "it is a folder")
        }
        _ = try Disk.writeAtomically(table.json(.file), to: path, mode: 0o644, placement: .replacing)
    }
}
