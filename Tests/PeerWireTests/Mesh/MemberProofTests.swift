import PeerWire
import Testing

@Suite struct MemberProofTests {
    private static func key(_ number: UInt8) -> NodeKey { NodeKey(bytes: [UInt8](repeating: number, count: 32))! }
    private static func mesh(_ number: UInt8) -> MeshKey { MeshKey(bytes: [UInt8](repeating: number, count: 32))! }

    private func text(_ keys: [MeshKey]) throws -> String {
        try #require(MemberProof.text(of: Self.key(1), to: Self.key(2), with: keys))
    }

    @Test func `holds between the two nodes that it names, in its direction, and for nobody else`() throws {
        let proof = try text([Self.mesh(5)])
        let own = [Self.mesh(5)]
        #expect(MemberProof.isValid(proof, of: Self.key(1), to: Self.key(2), with: own))
        #expect(!MemberProof.isValid(proof, of: Self.key(2), to: Self.key(1), with: own))
        #expect(!MemberProof.isValid(proof, of: Self.key(3), to: Self.key(2), with: own))
        #expect(!MemberProof.isValid(proof, of: Self.key(1), to: Self.key(3), with: own))
        #expect(!MemberProof.isValid(proof, of: Self.key(1), to: Self.key(2), with: [Self.mesh(6)]))
        #expect(!MemberProof.isValid(proof, of: Self.key(1), to: Self.key(2), with: []))
    }

    @Test func `one of several keys is enough, on either side`() throws {
        let proof = try text([Self.mesh(4), Self.mesh(5)])
        #expect(MemberProof.isValid(proof, of: Self.key(1), to: Self.key(2), with: [Self.mesh(9), Self.mesh(5)]))
    }

    @Test func `is not there without a mesh key, and has a bound`() throws {
        #expect(MemberProof.text(of: Self.key(1), to: Self.key(2), with: []) == nil)
        let many = try text((1...9).map { Self.mesh($0) })
        #expect(many.split(separator: ",").count == MemberProof.maximum)
        #expect(MemberProof.isValid(many, of: Self.key(1), to: Self.key(2), with: [Self.mesh(4)]))
        #expect(!MemberProof.isValid(many + "," + many, of: Self.key(1), to: Self.key(2), with: [Self.mesh(4)]))
    }

    @Test(arguments: ["", ",", "zz", "0a0b", String(repeating: "0", count: 64), String(repeating: "é", count: 64)])
    func `what is no proof is none`(text: String) {
        #expect(!MemberProof.isValid(text, of: Self.key(1), to: Self.key(2), with: [Self.mesh(5)]))
    }
}

@Suite struct MeshProbeTests {
    @Test func `a probe says how many bytes it wants back, and how many it brings`() throws {
        #expect(MeshProbe.request() == [6, 0, 0, 0, 0])
        let read = try #require(MeshProbe.read(request: MeshProbe.request(wanted: 70_000, padding: 3)))
        #expect(read == (wanted: 70_000, padding: 3))
        let most = try #require(MeshProbe.read(request: MeshProbe.request(wanted: .max, padding: .max)))
        #expect(most == (wanted: MeshProbe.maximumDownload, padding: MeshProbe.maximumUpload))
    }

    @Test func `an answer tells the load in hundredths, and is never longer than it may be`() throws {
        #expect(MeshProbe.answer(load: 0.256, wanted: 2) == [7, 26, 0, 0])
        #expect(MeshProbe.answer(load: .nan, wanted: -1).count == MeshProbe.answerHead)
        let answer = try #require(MeshProbe.read(answer: MeshProbe.answer(load: 7, wanted: .max)))
        #expect(answer == (load: 1, count: MeshProbe.maximumDownload))
    }

    @Test(arguments: [[], [6], [6, 0, 0, 0], [6, 0, 0x10, 0, 1], [5, 0, 0, 0, 0]] as [[UInt8]])
    func `what is no probe is not answered`(bytes: [UInt8]) { #expect(MeshProbe.read(request: bytes) == nil) }

    @Test(arguments: [[], [7], [7, 101], [6, 0]] as [[UInt8]])
    func `what is no answer is none`(bytes: [UInt8]) { #expect(MeshProbe.read(answer: bytes) == nil) }

    @Test func `a mirror says an address, and the delivery of a nonce its nonce`() throws {
        for text in ["192.0.2.7", "2001:db8::7"] {
            let address = try #require(NodeAddress(host: HostAddress(text)!, port: 5))
            #expect(MeshMirror.read(answer: MeshMirror.answer(address)) == address)
            #expect(MeshMirror.read(answer: MeshMirror.answer(address) + [0]) == nil)
        }
        let nonce = [UInt8](repeating: 3, count: DialBackRequest.nonceByteCount)
        #expect(NonceDelivery(NonceDelivery(nonce: nonce).bytes)?.nonce == nonce)
        #expect(NonceDelivery([5] + nonce + [0]) == nil && NonceDelivery([6] + nonce) == nil)
    }
}
