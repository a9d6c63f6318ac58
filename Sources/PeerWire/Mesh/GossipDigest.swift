/// What a node has, in few bytes: the tags of all keys are cut into 2ⁿ buckets by their first bits, and of each bucket
/// there is the sum of its records' marks. Where two nodes have different sums, they differ.
///
/// ```
/// 01 | the sender's time (8) | records (4) | n (1) | 2ⁿ sums (8 each)
/// ```
/// A sum is no proof: who makes keys at will can make sums alike. That hides a difference from this exchange only, for
/// each answer also lists a bucket that is drawn at random.
public struct GossipDigest: Hashable, Sendable {
    public static let kind: UInt8 = 1
    public static let maximumBucketBits = 10
    public static let maximumByteCount = headByteCount + 8 << maximumBucketBits
    static let headByteCount = 14

    /// Seconds since 1970, by the sender's clock.
    public var time: Int64
    public var records: UInt32
    /// 2ⁿ of them.
    public var sums: [UInt64]
    public var bucketBits: Int { sums.count.trailingZeroBitCount }

    /// `nil` unless there are 2ⁿ sums, n at most `maximumBucketBits`.
    public init?(time: Int64, records: UInt32, sums: [UInt64]) {
        guard sums.count.nonzeroBitCount == 1, sums.count <= 1 << Self.maximumBucketBits else { return nil }
        self.time = time
        self.records = records
        self.sums = sums
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.kind)
        writer.write(time)
        writer.write(records)
        writer.write(UInt8(bucketBits))
        for sum in sums { writer.write(sum) }
        return writer.bytes
    }

    public var byteCount: Int { Self.headByteCount + 8 * sums.count }

    public init(_ bytes: [UInt8]) throws(WireError) {
        guard bytes.count <= Self.maximumByteCount else {
            throw WireError(.frameTooLong, "a digest of \(bytes.count) bytes; \(Self.maximumByteCount) is the longest")
        }
        var reader = ByteReader(bytes)
        guard reader.read(UInt8.self) == Self.kind, let time = reader.read(UInt64.self),
            let records = reader.read(UInt32.self), let bits = reader.read(UInt8.self),
            Int(bits) <= Self.maximumBucketBits, reader.count == 8 << Int(bits)
        else { throw WireError(.malformedFrame, "a digest with a wrong head or length") }
        var sums: [UInt64] = []
        while let sum = reader.read(UInt64.self) { sums.append(sum) }
        self.time = Int64(bitPattern: time)
        self.records = records
        self.sums = sums
    }

    /// Which bucket a tag belongs to.
    public static func bucket(of tag: UInt64, bits: Int) -> Int { bits == 0 ? 0 : Int(tag >> UInt64(64 - bits)) }

    /// The mark of a record in the sums: of its key and its issue, not of its content. A node that signs two different
    /// records with one issue harms its own row only, and cannot keep others exchanging them for ever.
    public static func mark(tag: UInt64, issue: UInt64) -> UInt64 {
        // The finish of SplitMix64, over both: evenly spread, and no secret.
        var mixed = tag &+ (issue &* 0x9e37_79b9_7f4a_7c15)
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
