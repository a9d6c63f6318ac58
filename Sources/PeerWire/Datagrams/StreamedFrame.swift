/// A frame on the stream that stands in for datagrams: `length (2) | frame`, not sealed once more.
public enum StreamedFrame {
    public static let headerByteCount = 2
    /// What a frame has at most.
    public static let maximumByteCount = Int(UInt16.max)

    /// - Parameters:
    ///   - count: of the frame, which follows; `maximumByteCount` at most.
    ///   - place: has room for `headerByteCount` bytes.
    public static func writeHeader(_ count: Int, to place: UnsafeMutableRawPointer) {
        place.storeBytes(of: UInt16(truncatingIfNeeded: count).bigEndian, as: UInt16.self)
    }

    /// The first frame of what has come; `nil` while it is not whole.
    public static func first(in bytes: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer? {
        guard bytes.count >= headerByteCount else { return nil }
        let count = Int(UInt16(bigEndian: bytes.loadUnaligned(as: UInt16.self)))
        guard bytes.count - headerByteCount >= count else { return nil }
        return UnsafeMutableRawBufferPointer(rebasing: bytes[headerByteCount..<(headerByteCount + count)])
    }
}
