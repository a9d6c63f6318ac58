public import PeerCore

/// One of the two registries on the disk: always whole, for any tool to read at any time.
public actor RegistryFile<Document: RegistryDocument> {
    private nonisolated let executor: DiskExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public nonisolated let path: String
    private let home: Home

    private init(path: String, home: Home) {
        self.executor = DiskExecutor(label: "p2prc.registry")
        self.path = path
        self.home = home
    }

    /// Opens the registry of a home. What cannot be understood is put aside, with a warning, and an empty document
    /// returned. The file itself appears with the first `write`.
    public static func open(
        in home: Home, now: WallTime
    ) throws(StorageError) -> (file: RegistryFile, document: Document, warnings: [StorageWarning]) {
        try home.requireHeld()
        let path = Document.path(in: home.paths)
        Disk.removeLeftovers(of: path)
        let file = RegistryFile(path: path, home: home)
        do throws(StorageError) {
            return (file, try inspect(home.paths) ?? Document(), [])
        } catch {
            guard error.kind == .damaged || error.kind == .notAFile else { throw error }
            let aside = try Disk.moveAside(path, at: now)
            return (file, Document(), [StorageWarning(path: path, movedTo: aside, reason: error.detail)])
        }
    }

    /// Reads the registry without the home's lock; `nil` when there is no file. Nothing is changed: a file that cannot
    /// be understood is an error (`.damaged`) that names the field.
    public static func inspect(_ paths: HomePaths) throws(StorageError) -> Document? {
        let path = Document.path(in: paths)
        guard let content = try Disk.read(path, limit: longestFile) else { return nil }
        do throws(RegistryFault) {
            return try Document(json: content.bytes)
        } catch {
            throw StorageError(.damaged, path: path, detail: error.description)
        }
    }

    /// Bytes; thousands of rows are far below it.
    private static var longestFile: Int { 64 * 1_024 * 1_024 }

    /// Replaces the document, and returns when it is flushed to the disk. When it fails, what was there before still
    /// is, whole; only when flushing the folder was what failed, the new one is.
    ///
    /// - Returns: `false` when the file already held exactly this and was left alone.
    @discardableResult
    public func write(_ document: Document) throws(StorageError) -> Bool {
        try home.requireHeld()
        let bytes = try text(of: document)
        // Compared with the disk and not with a memory of it, so that a file that somebody else spoiled is mended.
        if let present = try? Disk.read(path, limit: Self.longestFile), present.bytes == bytes { return false }
        return try Disk.writeAtomically(bytes, to: path, mode: 0o600, placement: .replacing)
    }

    private func text(of document: Document) throws(StorageError) -> [UInt8] {
        do throws(RegistryFault) {
            return try document.json()
        } catch {
            throw StorageError(.invalid, path: path, detail: "cannot write this document: \(error)")
        }
    }
}
