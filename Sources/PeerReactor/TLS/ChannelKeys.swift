import Glibc
public import PeerWire

/// The pre-shared keys by which data channels prove their sessions, by the session's number. Any thread may ask.
public final class ChannelKeys: Sendable {
    private let keys = Locked<[SessionID: ChannelKey]>([:])

    public init() {}

    public func add(_ key: ChannelKey, for session: SessionID) { keys.withLock { $0[session] = key } }
    public func remove(_ session: SessionID) { keys.withLock { $0[session] = nil } }

    /// `false` when no session has that number.
    func copy(_ identity: UnsafeBufferPointer<UInt8>, to key: UnsafeMutablePointer<UInt8>) -> Bool {
        guard let group = ChannelGroup(bytes: identity), let found = keys.withLock({ $0[group.session] }) else {
            return false
        }
        found.withUnsafeBytes { found in
            if let start = found.baseAddress { memcpy(key, start, found.count) }
        }
        return true
    }
}
