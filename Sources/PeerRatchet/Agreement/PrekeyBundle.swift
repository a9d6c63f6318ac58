public import PeerWire

/// A node's lasting agreement key, and its node key's word for it.
public struct SignedIdentity: Hashable, Sendable {
    public let node: NodeKey
    public let key: AgreementKey
    /// Of the node key, over `"p2prc agreement key" ‖ key`.
    public let signature: [UInt8]

    public init(node: NodeKey, key: AgreementKey, signature: [UInt8]) {
        self.node = node
        self.key = key
        self.signature = signature
    }

    public init(_ key: AgreementKey, of node: NodeIdentity) {
        self.init(node: node.key, key: key, signature: node.signature(for: Self.content(key)))
    }

    var isGenuine: Bool { node.isSignature(signature, for: Self.content(key)) }

    private static func content(_ key: AgreementKey) -> [UInt8] { Array("p2prc agreement key".utf8) + key.bytes }
}

/// What somebody needs in order to open a circuit to a node that is not asked first (X3DH, section 2). There are no
/// one-time prekeys: nobody is there to hand each out once; the receiving end remembers what it has seen instead.
public struct PrekeyBundle: Hashable, Sendable {
    public let identity: SignedIdentity
    /// Which of the node's prekeys: they change each day.
    public let number: UInt32
    public let prekey: AgreementKey
    /// Of the node key, over `"p2prc prekey" ‖ number (4) ‖ prekey`.
    public let signature: [UInt8]

    public init(identity: SignedIdentity, number: UInt32, prekey: AgreementKey, signature: [UInt8]) {
        self.identity = identity
        self.number = number
        self.prekey = prekey
        self.signature = signature
    }

    public init(_ identity: SignedIdentity, number: UInt32, prekey: AgreementKey, of node: NodeIdentity) {
        self.init(
            identity: identity, number: number, prekey: prekey,
            signature: node.signature(for: Self.content(number, prekey)))
    }

    /// - Throws: `unsigned`.
    public func check() throws(RatchetError) {
        guard identity.isGenuine, identity.node.isSignature(signature, for: Self.content(number, prekey)) else {
            throw .unsigned
        }
    }

    private static func content(_ number: UInt32, _ prekey: AgreementKey) -> [UInt8] {
        Array("p2prc prekey".utf8) + number.bigEndianBytes + prekey.bytes
    }
}

extension FixedWidthInteger {
    /// In network byte order.
    var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }

    init?(bigEndianBytes bytes: some Collection<UInt8>) {
        guard bytes.count == Self.bitWidth / 8 else { return nil }
        self = bytes.reduce(0) { $0 << 8 | Self(truncatingIfNeeded: $1) }
    }
}
