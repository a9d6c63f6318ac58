import FoundationEssentials
import Glibc
public import PeerWire

/// The receipts of a node, one file for each mapping at each relay: `receipts/<relay>-<mapping>.receipt`, always whole,
/// for any tool to read. `<relay>` is the first eight bytes of the relay's key.
public actor ReceiptFolder {
    /// Files. More mappings than that go without a receipt on the disk.
    public static let limit = 4_096

    private nonisolated let executor: DiskExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public nonisolated let path: String
    private let home: Home
    private var names: Set<String>

    /// Makes the folder where it is missing, and clears away what a crash left half written.
    public static func open(in home: Home) throws(StorageError) -> ReceiptFolder {
        try home.requireHeld()
        let path = home.paths.receipts
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw StorageError(code: errno, doing: "create this folder", path: path)
        }
        guard try Disk.kind(of: path) == S_IFDIR else {
            throw StorageError(.notAFile, path: path, detail: "it is not a folder")
        }
        var names: Set<String> = []
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
            if name.hasPrefix("."), name.hasSuffix(".tmp") { unlink("\(path)/\(name)") }
            if isName(name) { names.insert(name) }
        }
        return ReceiptFolder(path: path, home: home, names: names)
    }

    private init(path: String, home: Home, names: Set<String>) {
        executor = DiskExecutor(label: "p2prc.receipts")
        self.path = path
        self.home = home
        self.names = names
    }

    /// Where in a home the receipt of a mapping lies, for listings.
    public static func place(relay: NodeKey, mapping: MappingID) -> String { "receipts/\(name(relay, mapping))" }

    /// Where the receipt of a mapping lies, whether it is there or not.
    public nonisolated func file(relay: NodeKey, mapping: MappingID) -> String {
        "\(path)/\(Self.name(relay, mapping))"
    }

    /// Writes a receipt in place of an earlier one of the same mapping. One that does not verify is not written.
    public func save(_ receipt: Receipt) throws(StorageError) {
        try home.requireHeld()
        let (relay, mapping) = (receipt.terms.relay, receipt.terms.mapping)
        let file = file(relay: relay, mapping: mapping)
        do throws(ReceiptFault) {
            try receipt.verify()
        } catch { throw StorageError(.invalid, path: file, detail: "this receipt proves nothing: \(error)") }
        let name = Self.name(relay, mapping)
        guard names.contains(name) || names.count < Self.limit else {
            throw StorageError(
                .full, path: path, detail: "it holds \(Self.limit) receipts", advice: "remove those of old mappings")
        }
        _ = try Disk.writeAtomically(receipt.bytes, to: file, mode: 0o600, placement: .replacing)
        names.insert(name)
    }

    /// Removes the receipt of a mapping that is gone; without one this does nothing.
    public func remove(relay: NodeKey, mapping: MappingID) throws(StorageError) {
        try remove([Self.name(relay, mapping)])
    }

    /// Removes the receipts of a mapping at every relay.
    public func removeAll(of mapping: MappingID) throws(StorageError) {
        try remove(names.filter { $0.hasSuffix("-\(mapping).receipt") })
    }

    private func remove(_ gone: some Sequence<String>) throws(StorageError) {
        try home.requireHeld()
        for name in gone {
            guard unlink("\(path)/\(name)") == 0 || errno == ENOENT else {
                throw StorageError(code: errno, doing: "remove it", path: "\(path)/\(name)")
            }
            names.remove(name)
        }
    }

    /// Any receipt file, in a home or not; fails with `.missing` when there is none.
    public static func read(_ path: String) throws(StorageError) -> [UInt8] {
        // More than a receipt may have: what is wrong with a longer file is for the parser to say.
        guard let content = try Disk.read(path, limit: Receipt.maximumByteCount * 32) else {
            throw StorageError(
                .missing, path: path, detail: "there is no such file", advice: "name a receipt's file")
        }
        return content.bytes
    }

    private static func name(_ relay: NodeKey, _ mapping: MappingID) -> String { "\(relay.short)-\(mapping).receipt" }

    private static func isName(_ name: String) -> Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1] == "receipt" else { return false }
        let keys = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        return keys.count == 2 && keys.allSatisfy { MappingID(String($0)) != nil }
    }
}
