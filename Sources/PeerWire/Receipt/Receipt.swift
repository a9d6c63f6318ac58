/// What a relay and a peer agreed about one mapping, signed by both, as a text file that anybody can check without
/// p2prc (docs/receipts.md).
///
/// ```
/// relay: draft = terms.signed(byRelay:)   ──▶ peer: terms.objection(…), draft.countersigned(byPeer:)
///                                         ◀──       its signature
/// ```
/// There is exactly one spelling of each receipt: what is read is written again and compared, so a receipt with any
/// changed byte, also in its white space or in a signature's padding, is another one or none.
public struct Receipt: Hashable, Sendable {
    /// Bytes. The longest that can be is about half of it.
    public static let maximumByteCount = 2_048

    public let terms: Terms
    public let relaySignature: [UInt8]
    public let peerSignature: [UInt8]

    /// Says nothing about the signatures: `verify` does.
    public init(terms: Terms, relaySignature: [UInt8], peerSignature: [UInt8]) {
        self.terms = terms
        self.relaySignature = relaySignature
        self.peerSignature = peerSignature
    }

    /// The file.
    public var bytes: [UInt8] {
        terms.bytes
            + Array("\(Self.relayLine)\(Base64.encode(relaySignature))\n".utf8)
            + Array("\(Self.peerLine)\(Base64.encode(peerSignature))\n".utf8)
    }

    /// Reads a file. The signatures are not judged: `verify` does.
    public init(_ bytes: [UInt8]) throws(ReceiptFault) {
        guard bytes.count <= Self.maximumByteCount else { throw .tooLong }
        // On bytes, because a String takes CR LF for one character.
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let count = Terms.lineNames.count
        let terms = try Terms(lines: lines)
        let relay = try Self.signature(lines, count, Self.relayLine)
        let peer = try Self.signature(lines, count + 1, Self.peerLine)
        self.init(terms: terms, relaySignature: relay, peerSignature: peer)
        guard self.bytes == bytes else { throw .notCanonical }
    }

    /// Throws unless both signatures are those of the keys in the receipt.
    public func verify() throws(ReceiptFault) {
        let signed = terms.bytes
        guard terms.relay.isSignature(relaySignature, for: signed) else { throw .relaySignature }
        guard terms.peer.isSignature(peerSignature, for: signed) else { throw .peerSignature }
    }

    private static let relayLine = "relay-signature: "
    private static let peerLine = "peer-signature: "

    private static func signature(
        _ lines: [ArraySlice<UInt8>], _ index: Int, _ name: String
    ) throws(ReceiptFault) -> [UInt8] {
        guard index < lines.count, lines[index].starts(with: name.utf8),
            let text = String(validating: lines[index].dropFirst(name.utf8.count), as: UTF8.self),
            let signature = Base64.decode(text), signature.count == NodeKey.signatureByteCount
        else { throw .line(index + 1, wanted: "\(name)and \(NodeKey.signatureByteCount) bytes in base64") }
        return signature
    }
}

extension Receipt {
    /// A receipt that the relay has signed and the peer has not.
    public struct Draft: Hashable, Sendable {
        public let terms: Terms
        public let relaySignature: [UInt8]

        public init(terms: Terms, relaySignature: [UInt8]) {
            self.terms = terms
            self.relaySignature = relaySignature
        }

        /// Whether the relay that the terms name made the signature.
        public var isSignedByRelay: Bool { terms.relay.isSignature(relaySignature, for: terms.bytes) }

        /// What the peer sends back, and puts into its copy. It signs whatever it is given: first ask
        /// `Terms.objection` and `isSignedByRelay`.
        public func countersigned(byPeer identity: NodeIdentity) -> Receipt {
            with(peerSignature: identity.signature(for: terms.bytes))
        }

        /// The relay's copy, once the peer's signature has come.
        public func with(peerSignature: [UInt8]) -> Receipt {
            Receipt(terms: terms, relaySignature: relaySignature, peerSignature: peerSignature)
        }
    }
}

/// Why a file is no receipt, or one that proves nothing.
public enum ReceiptFault: Error, Hashable, Sendable, CustomStringConvertible {
    case tooLong
    /// Counted from 1; what should stand there.
    case line(Int, wanted: String)
    /// It says the same as a receipt, in another spelling.
    case notCanonical
    case relaySignature
    case peerSignature

    public var description: String {
        switch self {
        case .tooLong: "it is longer than \(Receipt.maximumByteCount) bytes; no receipt is"
        case .line(let number, let wanted): "line \(number) is not what a receipt has there: \(wanted)"
        case .notCanonical: "it differs from what relay and peer signed in white space, order or spelling"
        case .relaySignature: "the relay's signature does not fit what is above it and the relay's key"
        case .peerSignature: "the peer's signature does not fit what is above it and the peer's key"
        }
    }
}
