/// What follows a digest, in up to three steps, each a part of the same form:
///
/// ```
/// asker                                   answerer
///   digest                          ──▶
///                                   ◀──   lists: what it has in buckets whose sums differ
///   records it has newer, and wants ──▶
///                                   ◀──   the records that were wanted
///
/// 02 | time (8) | room (4) | lists (2) | each: n (1), bucket (2), flags (1), entries (2), each: tag (8), issue (8)
///    | wants (2), each: tag (8) | records (2), each: length (2), record
/// ```
public struct GossipDifference: Hashable, Sendable {
    public static let kind: UInt8 = 2
    /// Of a whole difference, in bytes. Longer is refused.
    public static let maximumByteCount = 65_536
    public static let maximumEntries = 2_048
    public static let maximumWants = 2_048
    public static let maximumRecords = 1_024

    public struct Entry: Hashable, Sendable {
        public static let byteCount = 16
        public var tag: UInt64
        public var issue: UInt64

        public init(tag: UInt64, issue: UInt64) {
            self.tag = tag
            self.issue = issue
        }
    }

    /// What the sender has in one bucket.
    public struct List: Hashable, Sendable {
        static let headByteCount = 6
        public var bits: UInt8
        public var bucket: UInt16
        /// Whether these are all that the sender has there: only then what is missing here is missing there.
        public var isWhole: Bool
        public var entries: [Entry]

        public init(bits: UInt8, bucket: UInt16, isWhole: Bool, entries: [Entry]) {
            self.bits = bits
            self.bucket = bucket
            self.isWhole = isWhole
            self.entries = entries
        }
    }

    /// Seconds since 1970, by the sender's clock.
    public var time: Int64
    /// How many bytes of records the sender takes in answer to this.
    public var room: UInt32
    public var lists: [List]
    public var wants: [UInt64]
    public var records: [SignedRecord]

    public init(time: Int64, room: UInt32, lists: [List] = [], wants: [UInt64] = [], records: [SignedRecord] = []) {
        self.time = time
        self.room = room
        self.lists = lists
        self.wants = wants
        self.records = records
    }

    public var isEmpty: Bool { lists.isEmpty && wants.isEmpty && records.isEmpty }

    public var byteCount: Int {
        19 + lists.reduce(0) { $0 + List.headByteCount + Entry.byteCount * $1.entries.count } + 8 * wants.count
            + records.reduce(0) { $0 + 2 + $1.bytes.count }
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.kind)
        writer.write(time)
        writer.write(room)
        writer.write(UInt16(truncatingIfNeeded: lists.count))
        for list in lists {
            writer.write(list.bits)
            writer.write(list.bucket)
            writer.write(UInt8(list.isWhole ? 1 : 0))
            writer.write(UInt16(truncatingIfNeeded: list.entries.count))
            for entry in list.entries {
                writer.write(entry.tag)
                writer.write(entry.issue)
            }
        }
        writer.write(UInt16(truncatingIfNeeded: wants.count))
        for tag in wants { writer.write(tag) }
        writer.write(UInt16(truncatingIfNeeded: records.count))
        for record in records {
            writer.write(UInt16(truncatingIfNeeded: record.bytes.count))
            writer.write(record.bytes)
        }
        return writer.bytes
    }

    /// A record that cannot be read ends the whole: whoever sent it has passed on what it did not judge.
    ///
    /// - Parameter recordBytes: of records; from the first one that goes beyond it, they are left out unread.
    public init(_ bytes: [UInt8], recordBytes: Int = .max) throws(WireError) {
        guard bytes.count <= Self.maximumByteCount else {
            throw WireError(
                .frameTooLong, "a difference of \(bytes.count) bytes; \(Self.maximumByteCount) is the longest")
        }
        var reader = ByteReader(bytes)
        guard reader.read(UInt8.self) == Self.kind, let time = reader.read(UInt64.self),
            let room = reader.read(UInt32.self)
        else {
            throw WireError(.malformedFrame, "no difference, or one that ends in its head")
        }
        self.init(time: Int64(bitPattern: time), room: room)
        lists = try Self.lists(&reader)
        for _ in 0..<(try Self.count(&reader, atMost: Self.maximumWants, "wants")) {
            guard let tag = reader.read(UInt64.self) else { throw Self.cut("wants") }
            wants.append(tag)
        }
        var left = recordBytes
        for _ in 0..<(try Self.count(&reader, atMost: Self.maximumRecords, "records")) {
            guard let length = reader.read(UInt16.self), let record = reader.read(count: Int(length)) else {
                throw Self.cut("records")
            }
            left -= record.count + 2
            if left >= 0 { records.append(try SignedRecord(Array(record))) }
        }
        guard reader.isAtEnd else {
            throw WireError(.malformedFrame, "a difference with \(reader.count) bytes too many")
        }
    }

    private static func lists(_ reader: inout ByteReader) throws(WireError) -> [List] {
        var lists: [List] = []
        var total = 0
        for _ in 0..<(try count(&reader, atMost: 1 << GossipDigest.maximumBucketBits + 1, "lists")) {
            guard let bits = reader.read(UInt8.self), Int(bits) <= GossipDigest.maximumBucketBits,
                let bucket = reader.read(UInt16.self), Int(bucket) < 1 << Int(bits),
                let flags = reader.read(UInt8.self), flags <= 1, let count = reader.read(UInt16.self),
                total + Int(count) <= maximumEntries
            else { throw WireError(.malformedField, "a list of a difference with a wrong head") }
            total += Int(count)
            var entries: [Entry] = []
            for _ in 0..<count {
                guard let tag = reader.read(UInt64.self), let issue = reader.read(UInt64.self) else {
                    throw cut("lists")
                }
                entries.append(Entry(tag: tag, issue: issue))
            }
            lists.append(List(bits: bits, bucket: bucket, isWhole: flags == 1, entries: entries))
        }
        return lists
    }

    private static func count(
        _ reader: inout ByteReader, atMost limit: Int, _ what: String
    ) throws(WireError) -> Int {
        guard let count = reader.read(UInt16.self) else { throw cut(what) }
        guard Int(count) <= limit else {
            throw WireError(.malformedField, "a difference with \(count) \(what), more than \(limit)")
        }
        return Int(count)
    }

    private static func cut(_ what: String) -> WireError {
        WireError(.malformedFrame, "a difference that ends in its \(what)")
    }
}
