internal import Crypto

/// What the two ends of a session's TLS connection share and nobody else can know: keying material that TLS exports,
/// each piece for one purpose (RFC 8446, section 7.5). Another connection has others, so nothing said under them can
/// be played back.
public struct SessionSecrets: Sendable {
    public static let byteCount = 32

    /// Stands for this very connection in proofs of membership.
    public let binding: ChannelBinding
    /// The pre-shared key of the session's data channels.
    public let channelKey: ChannelKey
    /// Proves data channels that are not encrypted (`--plain`).
    public let plainSecret: PlainSecret
    /// What the keys of its datagrams are made from.
    public let datagramSecret: DatagramSecret

    /// - Parameter export: keying material under a label, `byteCount` bytes; `nil` when there is none.
    public init?(export: (String) -> [UInt8]?) {
        self.init(keys: { label in
            export(label).flatMap { $0.count == Self.byteCount ? SymmetricKey(data: $0) : nil }
        })
    }

    /// - Parameters:
    ///   - room: `byteCount` bytes; to be wiped afterwards by its owner.
    ///   - export: puts keying material under a label there; `false` when there is none.
    public init?(from room: UnsafeRawBufferPointer, export: (String) -> Bool) {
        self.init(keys: { label in
            export(label) && room.count == Self.byteCount ? SymmetricKey(data: room) : nil
        })
    }

    private init?(keys: (String) -> SymmetricKey?) {
        guard let binding = keys("EXPORTER-p2prc-membership"), let channelKey = keys("EXPORTER-p2prc-data"),
            let plainSecret = keys("EXPORTER-p2prc-plain"), let datagramSecret = keys("EXPORTER-p2prc-datagram")
        else { return nil }
        self.binding = ChannelBinding(bytes: binding.withUnsafeBytes { Array($0) })
        self.channelKey = ChannelKey(key: channelKey)
        self.plainSecret = PlainSecret(key: plainSecret)
        self.datagramSecret = DatagramSecret(key: datagramSecret)
    }
}

public struct ChannelBinding: Sendable {
    let bytes: [UInt8]
}

/// A key of TLS 1.3 that two nodes share out of their session. Wiped when its last copy goes.
public struct ChannelKey: Sendable {
    private let key: SymmetricKey

    fileprivate init(key: SymmetricKey) { self.key = key }

    /// 32 bytes, for the TLS library.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try key.withUnsafeBytes(body)
    }
}

/// Known to the two ends of a session only; proves that a plain data channel belongs to it.
public struct PlainSecret: Sendable {
    public static let proofByteCount = 32
    private let key: SymmetricKey

    fileprivate init(key: SymmetricKey) { self.key = key }

    func proof(of bytes: [UInt8]) -> [UInt8] { Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key)) }

    /// Compares in constant time.
    func isProof(_ proof: [UInt8], of bytes: [UInt8]) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: bytes, using: key)
    }
}
