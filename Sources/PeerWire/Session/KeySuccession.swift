/// A node's word that from now on it goes by another key, signed with both: what its former key was trusted with, its
/// new one may have until the given time.
///
/// ```
/// former (32) | next (32) | made (8) | until (8) | signature by former (64) | signature by next (64)
/// ```
/// Both sign the title and the first 80 bytes. The former one hands over, the next one takes it; without the second,
/// anybody could make somebody else's key its own successor.
public struct KeySuccession: Hashable, Sendable {
    public static let byteCount = 208
    /// Seconds between making it and its end: 400 days.
    public static let maximumSeconds: Int64 = 400 * 86_400
    private static let title = Array("p2prc/1 key succession".utf8)
    private static let signedByteCount = 80

    public let former: NodeKey
    public let next: NodeKey
    /// Seconds since 1970, by the node's own clock.
    public let made: Int64
    /// It counts before that; seconds since 1970.
    public let until: Int64
    public let formerSignature: [UInt8]
    public let nextSignature: [UInt8]

    /// - Parameter until: at most `maximumSeconds` after `made`, or nobody takes it.
    public init(from former: NodeIdentity, to next: NodeIdentity, made: Int64, until: Int64) {
        let content = Self.content(former.key, next.key, made, until)
        self.former = former.key
        self.next = next.key
        self.made = made
        self.until = until
        formerSignature = former.signature(for: Self.title + content)
        nextSignature = next.signature(for: Self.title + content)
    }

    /// `nil` unless there are exactly as many bytes as it has. Says nothing about what stands in them: `fault` does.
    public init?(bytes: some Collection<UInt8>) {
        var reader = ByteReader(Array(bytes))
        guard bytes.count == Self.byteCount, let former = reader.read(count: NodeKey.byteCount),
            let next = reader.read(count: NodeKey.byteCount), let made = reader.read(UInt64.self),
            let until = reader.read(UInt64.self),
            let formerSignature = reader.read(count: NodeKey.signatureByteCount),
            let nextSignature = reader.read(count: NodeKey.signatureByteCount),
            let formerKey = NodeKey(bytes: Array(former)), let nextKey = NodeKey(bytes: Array(next))
        else { return nil }
        self.former = formerKey
        self.next = nextKey
        self.made = Int64(bitPattern: made)
        self.until = Int64(bitPattern: until)
        self.formerSignature = Array(formerSignature)
        self.nextSignature = Array(nextSignature)
    }

    public var bytes: [UInt8] { Self.content(former, next, made, until) + formerSignature + nextSignature }

    /// What makes it worth nothing, whatever time it is; `nil` for a good one.
    var fault: KeyHistoryFault? {
        guard former != next else { return .loop }
        let (length, isTooLong) = until.subtractingReportingOverflow(made)
        guard !isTooLong, length > 0, length <= Self.maximumSeconds else { return .times }
        let content = Self.title + bytes.prefix(Self.signedByteCount)
        guard former.isSignature(formerSignature, for: content), next.isSignature(nextSignature, for: content) else {
            return .signature
        }
        return nil
    }

    private static func content(_ former: NodeKey, _ next: NodeKey, _ made: Int64, _ until: Int64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(former.bytes)
        writer.write(next.bytes)
        writer.write(UInt64(bitPattern: made))
        writer.write(UInt64(bitPattern: until))
        return writer.bytes
    }
}

/// The keys of one node, each handed over to the next, the oldest first. Empty for a node that never had another.
public struct KeyHistory: Hashable, Sendable {
    /// More than that are not told: a member that missed so many changes has to look at the key itself.
    public static let maximumCount = 4
    public static let maximumByteCount = maximumCount * KeySuccession.byteCount

    public let successions: [KeySuccession]

    public init(_ successions: [KeySuccession] = []) {
        self.successions = Array(successions.suffix(Self.maximumCount))
    }

    /// `nil` unless these are whole successions, at most `maximumCount`.
    public init?(bytes: [UInt8]) {
        guard bytes.count <= Self.maximumByteCount, bytes.count % KeySuccession.byteCount == 0 else { return nil }
        let starts = stride(from: 0, to: bytes.count, by: KeySuccession.byteCount)
        successions = starts.compactMap { KeySuccession(bytes: bytes[$0..<($0 + KeySuccession.byteCount)]) }
    }

    public var bytes: [UInt8] { successions.flatMap(\.bytes) }
    public var isEmpty: Bool { successions.isEmpty }

    /// With one more change; the oldest goes where there are too many.
    public func adding(_ succession: KeySuccession) -> KeyHistory { KeyHistory(successions + [succession]) }

    /// From the change away from `key` on; empty when that is none of its keys.
    public func since(_ key: NodeKey) -> KeyHistory {
        guard let start = successions.firstIndex(where: { $0.former == key }) else { return KeyHistory() }
        return KeyHistory(Array(successions[start...]))
    }

    /// Those that count at that time: without all up to the last one that is over.
    public func valid(at now: Int64) -> KeyHistory {
        guard let over = successions.lastIndex(where: { now >= $0.until }) else { return self }
        return KeyHistory(Array(successions[(over + 1)...]))
    }

    /// The keys that `key` has taken over from and that still count, the oldest first.
    ///
    /// - Parameter now: seconds since 1970.
    /// - Throws: when it is no history of that key: a signature does not fit, or one change does not follow the other.
    public func formerKeys(of key: NodeKey, at now: Int64) throws(KeyHistoryFault) -> [NodeKey] {
        var seen: Set<NodeKey> = [key]
        var next = key
        for succession in successions.reversed() {
            guard succession.next == next else { throw .gap }
            guard seen.insert(succession.former).inserted else { throw .loop }
            if let fault = succession.fault { throw fault }
            next = succession.former
        }
        return valid(at: now).successions.map(\.former)
    }

    /// Until when each of the former keys counts: until the first change after it is over.
    public func ends(at now: Int64) -> [(key: NodeKey, until: Int64)] {
        let valid = valid(at: now).successions
        return valid.indices.map { index in
            (valid[index].former, valid[index...].map(\.until).min() ?? valid[index].until)
        }
    }
}

/// Why something is no history of a node's keys.
public enum KeyHistoryFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// A change does not begin where the one before it ended, or the last one does not end at the node's key.
    case gap
    case loop
    /// It ends before it begins, or lasts too long.
    case times
    case signature

    public var description: String {
        switch self {
        case .gap: "a change of key does not lead to the next one"
        case .loop: "a key comes twice in it"
        case .times: "a change of key has impossible times"
        case .signature: "a change of key is not signed by both of its keys"
        }
    }
}
