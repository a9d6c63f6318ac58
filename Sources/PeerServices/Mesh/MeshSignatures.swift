internal import PeerWire

/// Signs for this node, and judges what others signed. Simulations have cheaper signatures.
protocol MeshSignatures: Sendable {
    /// This node's key.
    var key: NodeKey { get }
    func sign(_ record: NodeRecord) throws(WireError) -> SignedRecord
    func sign(_ content: DialBackStatement.Content) -> DialBackStatement
    func isGenuine(_ record: SignedRecord) -> Bool
    func isGenuine(_ statement: DialBackStatement, of subject: NodeKey) -> Bool
}

extension KeyRing: MeshSignatures {
    func sign(_ record: NodeRecord) throws(WireError) -> SignedRecord { try SignedRecord(record, by: identity) }

    func sign(_ content: DialBackStatement.Content) -> DialBackStatement {
        DialBackStatement(content, signature: identity.signature(for: content.signedBytes))
    }

    func isGenuine(_ record: SignedRecord) -> Bool { record.isGenuine }
    func isGenuine(_ statement: DialBackStatement, of subject: NodeKey) -> Bool { statement.isGenuine(of: subject) }
}
