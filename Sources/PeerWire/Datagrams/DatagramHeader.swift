/// What stands in front of each datagram between a peer and a relay, readable for everybody:
///
/// ```
/// channel (4) | number (8) | sealed frame | tag (16)
/// ```
public struct DatagramHeader: Hashable, Sendable {
    public static let byteCount = 12
    public static let tagByteCount = 16
    /// What a datagram has besides its frame.
    public static let overhead = byteCount + tagByteCount

    /// Names the session at the relay.
    public var channel: UInt32
    public var number: DatagramNumber

    public init(channel: UInt32, number: DatagramNumber) {
        self.channel = channel
        self.number = number
    }

    /// `nil` for what is too short to be a datagram of ours.
    public init?(reading bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.overhead else { return nil }
        channel = UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
        number = DatagramNumber(rawValue: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt64.self)))
    }

    /// - Parameter place: has room for `byteCount` bytes.
    public func write(to place: UnsafeMutableRawPointer) {
        place.storeBytes(of: channel.bigEndian, as: UInt32.self)
        place.storeBytes(of: number.rawValue.bigEndian, toByteOffset: 4, as: UInt64.self)
    }
}

/// Numbers each datagram of one direction of a session: the epoch of its key (2 bytes), and how many that key sealed
/// before (6).
public struct DatagramNumber: RawRepresentable, Hashable, Comparable, Sendable {
    public static let countBits = 48
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public init(epoch: UInt16, count: UInt64) {
        rawValue = UInt64(epoch) << Self.countBits | count & (1 << Self.countBits - 1)
    }

    public var epoch: UInt16 { UInt16(truncatingIfNeeded: rawValue >> Self.countBits) }
    public var count: UInt64 { rawValue & (1 << Self.countBits - 1) }

    public static func < (left: DatagramNumber, right: DatagramNumber) -> Bool { left.rawValue < right.rawValue }
}
