/// A witness's word: at that time it dialled that address, and the holder of that key answered there.
///
/// ```
/// witness (32) | time (8) | address (7 or 19) | signature (64)
/// signed: "p2prc/1 dial-back" ‖ subject (32) ‖ witness (32) ‖ time (8) ‖ address
/// ```
/// The subject is not written: a statement stands in the record of the node that it is about, and serves for no other.
/// Keys cost nothing, so a statement is worth what is known of its witness (`RelayProof`).
public struct DialBackStatement: Hashable, Sendable {
    /// Without a signature.
    public struct Content: Hashable, Sendable {
        public var subject: NodeKey
        public var witness: NodeKey
        /// Seconds since 1970, by the witness's clock.
        public var time: Int64
        public var address: NodeAddress

        public init(subject: NodeKey, witness: NodeKey, time: Int64, address: NodeAddress) {
            self.subject = subject
            self.witness = witness
            self.time = time
            self.address = address
        }

        public var signedBytes: [UInt8] {
            var writer = ByteWriter()
            writer.write("p2prc/1 dial-back".utf8)
            writer.write(subject.bytes)
            writer.write(witness.bytes)
            writer.write(time)
            writer.write(address)
            return writer.bytes
        }
    }

    public var witness: NodeKey
    public var time: Int64
    public var address: NodeAddress
    public var signature: [UInt8]

    public init(_ content: Content, signature: [UInt8]) {
        witness = content.witness
        time = content.time
        address = content.address
        self.signature = signature
    }

    public init(subject: NodeKey, time: Int64, address: NodeAddress, by identity: NodeIdentity) {
        let content = Content(subject: subject, witness: identity.key, time: time, address: address)
        self.init(content, signature: identity.signature(for: content.signedBytes))
    }

    public func content(of subject: NodeKey) -> Content {
        Content(subject: subject, witness: witness, time: time, address: address)
    }

    /// Whether the witness said it, of this node.
    public func isGenuine(of subject: NodeKey) -> Bool {
        witness.isSignature(signature, for: content(of: subject).signedBytes)
    }
}

extension ByteWriter {
    mutating func write(_ statement: DialBackStatement) {
        write(statement.witness.bytes)
        write(statement.time)
        write(statement.address)
        write(statement.signature)
    }
}

extension ByteReader {
    mutating func readStatement() -> DialBackStatement? {
        guard let witness = readKey(), let time = read(UInt64.self), let address = readAddress(),
            let signature = read(count: NodeKey.signatureByteCount), let subject = NodeKey(bytes: witness.bytes)
        else { return nil }
        return DialBackStatement(
            .init(subject: subject, witness: witness, time: Int64(bitPattern: time), address: address),
            signature: Array(signature))
    }
}
