/// The check from outside: whoever checks dials the public port and sends a nonce; the peer at the other end of the
/// tunnel answers with its signature over it. So an answer proves that the way leads to the holder of that key.
///
/// ```
/// probe:  preamble 'n' (8) | nonce (32)
/// answer: preamble 'a' (8) | signature (64) over "p2prc/1 check", nonce, mapping (8)
/// ```
public enum ReachabilityCheck {
    public static let nonceByteCount = 32
    public static let probeByteCount = Preamble.byteCount + nonceByteCount
    public static let answerByteCount = Preamble.byteCount + NodeKey.signatureByteCount

    public static func probe(nonce: [UInt8]) -> [UInt8] { Preamble(kind: .check).bytes + nonce }

    /// What a visitor's first bytes are, while a check is pending.
    public enum Reading: Equatable, Sendable {
        case incomplete
        case probe(nonce: [UInt8])
        case foreign
    }

    public static func read(_ bytes: [UInt8]) -> Reading {
        switch Preamble.read(bytes) {
        case .incomplete: return .incomplete
        case .preamble(Preamble(kind: .check)):
            guard bytes.count >= probeByteCount else { return .incomplete }
            guard bytes.count == probeByteCount else { return .foreign }
            return .probe(nonce: Array(bytes[Preamble.byteCount...]))
        case .preamble, .foreign: return .foreign
        }
    }

    /// The same for a port for datagrams: as long as its answer, so that nobody gets more than was sent.
    public static func datagramProbe(nonce: [UInt8]) -> [UInt8] {
        let probe = probe(nonce: nonce)
        return probe + [UInt8](repeating: 0, count: answerByteCount - probe.count)
    }

    /// The nonce of a probe that came as a datagram; `nil`: it is none.
    public static func nonce(ofDatagram bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard bytes.count == answerByteCount, bytes.dropFirst(probeByteCount).allSatisfy({ $0 == 0 }),
            case .probe(let nonce) = read(Array(bytes.prefix(probeByteCount)))
        else { return nil }
        return nonce
    }

    public static func answer(nonce: [UInt8], mapping: MappingID, by identity: NodeIdentity) -> [UInt8] {
        Preamble(kind: .checkAnswer).bytes + identity.signature(for: signed(nonce, mapping))
    }

    public static func isAnswer(_ bytes: [UInt8], nonce: [UInt8], mapping: MappingID, by key: NodeKey) -> Bool {
        guard bytes.count == answerByteCount, Preamble.read(bytes) == .preamble(Preamble(kind: .checkAnswer)) else {
            return false
        }
        return key.isSignature(Array(bytes[Preamble.byteCount...]), for: signed(nonce, mapping))
    }

    private static func signed(_ nonce: [UInt8], _ mapping: MappingID) -> [UInt8] {
        var writer = ByteWriter()
        writer.write("p2prc/1 check".utf8)
        writer.write(nonce)
        writer.write(mapping.value)
        return writer.bytes
    }
}
