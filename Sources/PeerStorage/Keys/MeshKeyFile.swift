public import PeerCore
public import PeerWire

/// `mesh.key`: this node's own mesh key, and for a while the one before it. One key a line, 64 hexadecimal digits; a
/// former one is followed by `until` and a time (RFC 3339).
///
/// A damaged or exposed file is refused and left as it is: a silent new key would lock every member out.
public struct MeshKeyFile: Hashable, Sendable {
    /// Keys that still count after a rotation.
    static let maximumFormer = 4

    public struct Former: Hashable, Sendable {
        public var key: MeshKey
        public var until: WallTime
    }

    public var current: MeshKey
    public var former: [Former]

    /// All that count at this time, the present one first.
    public func keys(at now: WallTime) -> [MeshKey] {
        [current] + former.filter { now < $0.until }.map(\.key)
    }

    /// When the next of the former keys stops to count; `nil` when none of them does.
    public func nextEnd(after now: WallTime) -> WallTime? { former.map(\.until).filter { now < $0 }.min() }

    /// `nil` when there is no file.
    public static func load(at path: String) throws(StorageError) -> MeshKeyFile? {
        guard let bytes = try SecretFile.read(at: path) else { return nil }
        guard let file = MeshKeyFile(String(decoding: bytes, as: UTF8.self)) else {
            throw StorageError(
                .damaged, path: path, detail: "this is no mesh key (64 hexadecimal digits a line)",
                advice: "put it back from a backup, or move it away to make a new mesh that everybody has to join again"
            )
        }
        return file
    }

    /// - Returns: whether it was made now.
    public static func loadOrCreate(
        at path: String, make: () -> [UInt8]
    ) throws(StorageError) -> (file: MeshKeyFile, isNew: Bool) {
        if let file = try load(at: path) { return (file, false) }
        guard let key = MeshKey(bytes: make()) else {
            throw StorageError(.invalid, path: path, detail: "a mesh key has \(MeshKey.byteCount) bytes")
        }
        let file = MeshKeyFile(current: key, former: [])
        if try SecretFile.create(Array(file.text.utf8), at: path) { return (file, true) }
        guard let theirs = try load(at: path) else {
            throw StorageError(.missing, path: path, detail: "something is there that leads to no file")
        }
        return (theirs, false)
    }

    public init(current: MeshKey, former: [Former]) {
        self.current = current
        self.former = former
    }

    /// A new key; the present one counts until then. Where that is not kept, no former key is: somebody may have them
    /// all.
    public func rotated(to key: MeshKey, keepingUntil until: WallTime, now: WallTime) -> MeshKeyFile {
        guard now < until else { return MeshKeyFile(current: key, former: []) }
        let kept = [Former(key: current, until: until)] + former.filter { now < $0.until }
        return MeshKeyFile(current: key, former: Array(kept.prefix(Self.maximumFormer)))
    }

    public func save(at path: String) throws(StorageError) { try SecretFile.replace(Array(text.utf8), at: path) }

    var text: String {
        ([current.text] + former.map { "\($0.key.text) until \($0.until.rfc3339)" }).joined(separator: "\n") + "\n"
    }

    init?(_ text: String) {
        let lines = text.split(whereSeparator: \.isNewline).filter { !$0.allSatisfy { $0 == " " || $0 == "\t" } }
        guard let first = lines.first, let current = MeshKey(String(first)), lines.count <= Self.maximumFormer + 1
        else {
            return nil
        }
        var former: [Former] = []
        for line in lines.dropFirst() {
            let words = line.split(separator: " ")
            guard words.count == 3, words[1] == "until", let key = MeshKey(String(words[0])),
                let until = WallTime(rfc3339: String(words[2]))
            else { return nil }
            former.append(Former(key: key, until: until))
        }
        self.init(current: current, former: former)
    }
}
