public import PeerWire

/// The pre-shared keys by which data channels prove their sessions, by the session's number. Any thread may ask.
public final class ChannelKeys: Sendable {
    private let keys = Guarded<[UInt64: [UInt8]]>([:])

    public init() {}

    public func add(_ key: ChannelKey, for session: SessionID) { keys.withLock { $0[session.value] = key.bytes } }
    public func remove(_ session: SessionID) { keys.withLock { $0[session.value] = nil } }

    /// `false` when no session has that number.
    func copy(_ identity: UnsafeBufferPointer<UInt8>, to key: UnsafeMutablePointer<UInt8>) -> Bool {
        let session = identity.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let found = keys.withLock({ $0[session] }) else { return false }
        for (index, byte) in found.enumerated() { key[index] = byte }
        return true
    }
}

extension SessionID {
    /// As the identity of a pre-shared key: eight bytes, the highest first.
    var identity: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) } }
}
