import FuzzParsers
import PeerWire
import Testing

/// Whatever stands for somebody or proves something, with each bit of it flipped: refused, or another, never the same.
/// Where the format passes over bits (docs/protocol.md), that is said here, place by place.
@Suite struct FlippedTests {
    /// Each way to flip one bit, with where it was flipped.
    static func flips(of bytes: [UInt8]) -> [(bytes: [UInt8], index: Int, bit: UInt8)] {
        bytes.indices.flatMap { index in
            (UInt8(0)..<8).map { (bytes.flipping(bit: $0, at: index), index, $0) }
        }
    }

    /// Fields that say yes with 1 and no with anything else, by frame type.
    static let yesOrElse: [UInt8: Set<UInt8>] = [0x04: [6], 0x08: [5], 0x39: [2]]

    /// Places in a message's bytes where a flip may change nothing: the tag of a text that is empty, which is the same
    /// as one that is left out, and the bits of a no.
    static func passedOver(in frame: Frame) -> Set<Int> {
        var places: Set<Int> = []
        var at = Frame.headerByteCount
        for field in frame.fields {
            if field.value.isEmpty, Samples.textTags[frame.type]?.contains(field.tag) == true { places.insert(at) }
            if field.value != [1], yesOrElse[frame.type]?.contains(field.tag) == true { places.insert(at + 3) }
            at += 3 + field.value.count
        }
        return places
    }

    /// The messages in `bytes`, if they are whole and right.
    static func messages(in bytes: [UInt8]) -> [EitherMessage?]? {
        var decoder = FrameDecoder()
        decoder.append(bytes)
        var found: [EitherMessage?] = []
        do {
            while let frame = try decoder.next() { found.append(try EitherMessage(frame)) }
        } catch { return nil }
        return decoder.bufferedByteCount == 0 ? found : nil
    }

    @Test(arguments: Samples.messages) func `a message with a bit flipped is refused or says something else`(
        name: String, message: EitherMessage
    ) {
        let passedOver = Self.passedOver(in: message.frame)
        #expect(Self.messages(in: message.bytes) == [message])
        for flip in Self.flips(of: message.bytes) where !passedOver.contains(flip.index) {
            #expect(Self.messages(in: flip.bytes) != [message], "\(name), byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test(arguments: Samples.preambles) func `a preamble with a bit flipped is foreign or another`(
        name: String, preamble: Preamble
    ) {
        for flip in Self.flips(of: preamble.bytes) {
            #expect(Preamble.read(flip.bytes) != .preamble(preamble), "\(name), byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test(arguments: Samples.visitorStarts) func `a visitor's start with a bit flipped is refused or another`(
        name: String, start: VisitorStart
    ) {
        for flip in Self.flips(of: start.bytes) {
            // Flags that are not known, and the byte that is kept free.
            if (flip.index == 4 && flip.bit > 0) || flip.index == 24 { continue }
            #expect(VisitorStart(flip.bytes) != start, "\(name), byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `an answer to a check with a bit flipped is refused`() {
        for flip in Self.flips(of: Samples.answer) {
            let isAnswer = ReachabilityCheck.isAnswer(
                flip.bytes, nonce: Samples.nonce, mapping: Samples.mapping, by: Samples.peer.key)
            #expect(!isAnswer, "byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `a probe with a bit flipped is foreign or asks for another answer`() {
        for flip in Self.flips(of: Samples.probe) {
            #expect(ReachabilityCheck.read(flip.bytes) != .probe(nonce: Samples.nonce), "byte \(flip.index)")
        }
    }

    @Test func `a signature is for one content and one key, to the bit`() throws {
        let content = Array("what was said".utf8)
        let signature = Samples.peer.signature(for: content)
        let key = Samples.peer.key
        #expect(key.isSignature(signature, for: content))
        for flip in Self.flips(of: signature) { #expect(!key.isSignature(flip.bytes, for: content)) }
        for flip in Self.flips(of: content) { #expect(!key.isSignature(signature, for: flip.bytes)) }
        for flip in Self.flips(of: key.bytes) {
            let other = try #require(NodeKey(bytes: flip.bytes))
            #expect(other != key)
            #expect(!other.isSignature(signature, for: content), "byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `a seed with a bit flipped is another identity`() throws {
        let seed = [UInt8].counting(from: 1)
        for flip in Self.flips(of: seed) {
            let other = try #require(NodeIdentity(seed: flip.bytes))
            #expect(other.key != Samples.peer.key, "byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `a proof of a mesh key is for one key, one side and one connection, to the bit`() throws {
        let (key, binding) = (Samples.meshKey, Samples.secrets.binding)
        let proof = key.proof(by: .peer, over: binding)
        #expect(key.isProof(proof, by: .peer, over: binding))
        #expect(!key.isProof(proof, by: .relay, over: binding))
        #expect(!key.isProof(proof, by: .peer, over: Samples.otherSecrets.binding))
        for flip in Self.flips(of: proof) { #expect(!key.isProof(flip.bytes, by: .peer, over: binding)) }
        for flip in Self.flips(of: key.bytes) {
            let other = try #require(MeshKey(bytes: flip.bytes))
            #expect(other != key && !other.isProof(proof, by: .peer, over: binding))
        }
    }

    @Test func `a join link with a bit flipped is refused or another, but for small and capital digits`() throws {
        let link = JoinLink(address: "203.0.113.11:8088", relay: Samples.relay.key, meshKey: Samples.meshKey)
        for flip in Self.flips(of: Array(link.text.utf8)) {
            guard let text = String(validating: flip.bytes, as: UTF8.self) else { continue }
            #expect(JoinLink(text) != link || text.lowercased() == link.text, "byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `a key as text with a bit flipped is refused or another, but for small and capital letters`() {
        let key = Samples.peer.key
        for flip in Self.flips(of: Array("\(key)".utf8)) {
            guard let text = String(validating: flip.bytes, as: UTF8.self) else { continue }
            #expect(NodeKey(text) != key || text.lowercased() == "\(key)", "byte \(flip.index), bit \(flip.bit)")
        }
    }
}
