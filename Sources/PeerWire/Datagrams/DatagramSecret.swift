internal import Crypto

/// What the keys of a session's datagrams are made from; known to its two ends only.
public struct DatagramSecret: Sendable {
    /// Which way a datagram goes.
    public enum Direction: UInt8, Sendable, CaseIterable {
        case toRelay = 1
        case toPeer = 2

        public var opposite: Direction { self == .toRelay ? .toPeer : .toRelay }
    }

    /// Whether the text is encrypted, or is there for everybody to read and nobody to change (`--plain` at both ends).
    public enum Protection: UInt8, Sendable, CaseIterable {
        case encrypted = 1
        case plain = 2
    }

    /// A key of AES-128-GCM, and what each datagram's number is added to for its nonce.
    public struct Key: Hashable, Sendable {
        public static let byteCount = 16
        /// The first 4 bytes of the static IV.
        public let nonceHead: UInt32
        /// The other 8.
        public let nonceTail: UInt64
        public let bytes: [UInt8]
    }

    private let key: SymmetricKey

    init(key: SymmetricKey) { self.key = key }

    /// HKDF-Expand (RFC 5869) of the secret: 16 bytes of key and 12 of IV, with
    /// `"p2prc datagram" ‖ protection (1) ‖ direction (1) ‖ epoch (2)` for info.
    public func key(_ direction: Direction, _ protection: Protection, epoch: UInt16) -> Key {
        var info = ByteWriter()
        info.write("p2prc datagram".utf8)
        info.write(protection.rawValue)
        info.write(direction.rawValue)
        info.write(epoch)
        let made = HKDF<SHA256>.expand(pseudoRandomKey: key, info: info.bytes, outputByteCount: Key.byteCount + 12)
        let bytes = made.withUnsafeBytes { Array($0) }
        var iv = ByteReader(bytes[Key.byteCount...])
        return Key(
            nonceHead: iv.read(UInt32.self) ?? 0, nonceTail: iv.read(UInt64.self) ?? 0,
            bytes: Array(bytes.prefix(Key.byteCount)))
    }
}
