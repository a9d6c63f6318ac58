public import PeerWire

/// The pre-shared keys by which data channels prove their sessions, by the session's number. Any thread may ask.
public final class ChannelKeys: Sendable {
    private let keys = Guarded<[SessionID: [UInt8]]>([:])

    public init() {}

    public func add(_ key: ChannelKey, for session: SessionID) { keys.withLock { $0[session] = key.bytes } }
    public func remove(_ session: SessionID) { keys.withLock { $0[session] = nil } }

    /// `false` when no session has that number.
    func copy(_ identity: UnsafeBufferPointer<UInt8>, to key: UnsafeMutablePointer<UInt8>) -> Bool {
        guard let group = ChannelGroup(bytes: identity), let found = keys.withLock({ $0[group.session] }) else {
            return false
        }
        for (index, byte) in found.enumerated() { key[index] = byte }
        return true
    }
}
