internal import CRecords
public import PeerWire

/// Seals or opens the datagrams of one direction and epoch. No I/O; numbers are the caller's, and none may be sealed
/// twice.
public struct DatagramKey: ~Copyable {
    private let key: OpaquePointer
    private let protection: DatagramSecret.Protection
    private let nonceHead: UInt32
    private let nonceTail: UInt64

    /// `nil` when there is no memory.
    public init?(_ key: DatagramSecret.Key, _ protection: DatagramSecret.Protection, seals: Bool) {
        self.init(key, protection, seals: seals, library: crecords_fastest)
    }

    init?(
        _ key: DatagramSecret.Key, _ protection: DatagramSecret.Protection, seals: Bool, library: crecords_library
    ) {
        guard let made = crecords_datagram_key_new(key.bytes, seals, library) else { return nil }
        self.key = made
        self.protection = protection
        nonceHead = key.nonceHead
        nonceTail = key.nonceTail
    }

    deinit { crecords_datagram_key_free(key) }

    /// Seals a datagram whose header is written, and whose frame follows that.
    ///
    /// - Parameters:
    ///   - datagram: the header, the frame, and room for the tag.
    ///   - count: of the frame.
    /// - Returns: `false` when the library cannot.
    public func seal(_ datagram: UnsafeMutableRawPointer, frame count: Int, _ number: DatagramNumber) -> Bool {
        let bytes = datagram.assumingMemoryBound(to: UInt8.self)
        return withNonce(number) { nonce in
            switch protection {
            case .encrypted:
                let frame = bytes + DatagramHeader.byteCount
                return crecords_datagram_seal(key, nonce, bytes, DatagramHeader.byteCount, frame, count, frame)
            case .plain:
                let length = DatagramHeader.byteCount + count
                return crecords_datagram_seal(key, nonce, bytes, length, nil, 0, bytes + length)
            }
        }
    }

    /// Opens a datagram in its place.
    ///
    /// - Returns: its frame; `nil` when it is not genuine, and then nothing in it counts.
    public func open(
        _ datagram: UnsafeMutableRawBufferPointer, _ number: DatagramNumber
    ) -> UnsafeMutableRawBufferPointer? {
        let count = datagram.count - DatagramHeader.overhead
        guard count >= 0, let bytes = datagram.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
        let isGenuine = withNonce(number) { nonce in
            switch protection {
            case .encrypted:
                crecords_datagram_open(
                    key, nonce, bytes, DatagramHeader.byteCount, bytes + DatagramHeader.byteCount, count)
            case .plain:
                crecords_datagram_open(
                    key, nonce, bytes, DatagramHeader.byteCount + count, bytes + DatagramHeader.byteCount + count, 0)
            }
        }
        guard isGenuine else { return nil }
        let frame = DatagramHeader.byteCount..<(DatagramHeader.byteCount + count)
        return UnsafeMutableRawBufferPointer(rebasing: datagram[frame])
    }

    /// The IV with the number added (without carry) to its last 8 bytes.
    private func withNonce(_ number: DatagramNumber, _ body: (UnsafePointer<UInt8>?) -> Bool) -> Bool {
        var nonce = (nonceHead.bigEndian, UInt32.zero, UInt32.zero)
        let tail = nonceTail ^ number.rawValue
        nonce.1 = UInt32(truncatingIfNeeded: tail >> 32).bigEndian
        nonce.2 = UInt32(truncatingIfNeeded: tail).bigEndian
        return withUnsafeBytes(of: &nonce) { body($0.baseAddress?.assumingMemoryBound(to: UInt8.self)) }
    }
}
