import PeerWire
import Testing

@Suite struct PreambleTests {
    @Test(arguments: Samples.preambles.map(\.preamble)) func `a preamble is incomplete until its last byte`(
        preamble: Preamble
    ) {
        let bytes = preamble.bytes
        #expect(bytes.count == Preamble.byteCount)
        for count in 0..<bytes.count { #expect(Preamble.read(bytes.prefix(count)) == .incomplete) }
        #expect(Preamble.read(bytes) == .preamble(preamble))
        #expect(Preamble.read(bytes + [0xff, 0]) == .preamble(preamble))
    }

    @Test func `a wrong byte is foreign at once`() {
        let bytes = Preamble(kind: .session).bytes
        for index in 0..<5 {
            for wrong in UInt8.min ... .max where wrong != bytes[index] {
                #expect(Preamble.read(bytes.prefix(index) + [wrong]) == .foreign)
            }
        }
        let kinds = Set(Samples.preambles.map(\.preamble.kind.rawValue))
        for letter in UInt8.min ... .max where !kinds.contains(letter) {
            #expect(Preamble.read(bytes.prefix(5) + [letter]) == .foreign)
        }
    }

    @Test func `what others send first is foreign from its first byte`() {
        #expect(Preamble.read([0x16]) == .foreign)
        #expect(Preamble.read(Array("GET / HTTP/1.1".utf8)) == .foreign)
        #expect(Preamble.read(Array("SSH-2.0".utf8)) == .foreign)
        #expect(Preamble.read([]) == .incomplete)
    }

    @Test func `another version is read, for the answer to it`() {
        for version: UInt16 in [0, 2, 256, .max] {
            let preamble = Preamble(kind: .session, version: version)
            #expect(Preamble.read(preamble.bytes) == .preamble(preamble))
        }
    }
}

@Suite struct DataChannelHelloTests {
    @Test func `it is proven by the secret of its session only`() throws {
        let hello = try #require(DataChannelHello(Samples.dataChannelHello.bytes))
        #expect(hello == Samples.dataChannelHello)
        #expect(hello.isProven(by: Samples.secret))
        #expect(!hello.isProven(by: Samples.otherSecrets.plainSecret))
    }

    @Test func `what is no secret makes none`() {
        #expect(SessionSecrets { _ in nil } == nil)
        #expect(SessionSecrets { $0.hasSuffix("data") ? [1] : .counting(from: 1) } == nil)
        #expect(NodeIdentity(seed: .counting(from: 0, 31)) == nil)
    }

    @Test func `with any bit of it flipped it is refused`() {
        let bytes = Samples.dataChannelHello.bytes
        #expect(bytes.count == DataChannelHello.byteCount)
        for index in bytes.indices {
            for bit in UInt8(0)..<8 {
                let hello = DataChannelHello(bytes.flipping(bit: bit, at: index))
                #expect(hello?.isProven(by: Samples.secret) != true, "byte \(index), bit \(bit)")
            }
        }
    }

    @Test func `too short and too long is none`() {
        let bytes = Samples.dataChannelHello.bytes
        for count in 0..<bytes.count { #expect(DataChannelHello(Array(bytes.prefix(count))) == nil) }
        #expect(DataChannelHello(bytes + [0]) == nil)
    }
}

@Suite struct VisitorStartTests {
    @Test func `it comes back as it was sent`() {
        for sample in Samples.visitorStarts {
            #expect(sample.start.bytes.count == VisitorStart.byteCount)
            #expect(VisitorStart(sample.start.bytes) == sample.start)
        }
    }

    @Test func `another length, another first byte or another family is none`() {
        let bytes = Samples.visitorStarts[0].start.bytes
        for count in 0..<bytes.count { #expect(VisitorStart(Array(bytes.prefix(count))) == nil) }
        #expect(VisitorStart(bytes + [0]) == nil)
        for count in 0...bytes.count { #expect(VisitorStart.mayBegin(with: Array(bytes.prefix(count)))) }
        for index in [0, 1, 2, 3, 23] {
            var other = bytes
            other[index] ^= 0x40
            for count in 0...bytes.count {
                #expect(
                    VisitorStart.mayBegin(with: Array(other.prefix(count))) == (count <= index), "\(index) \(count)")
            }
        }
        for value in UInt8.min ... .max {
            if value != 1 { #expect(VisitorStart([value] + bytes.dropFirst()) == nil) }
            if value != 39 { #expect(VisitorStart(Array(bytes[..<3]) + [value] + bytes.dropFirst(4)) == nil) }
            var other = bytes
            other[23] = value
            #expect((VisitorStart(other) != nil) == (value == 4 || value == 6))
        }
    }

    @Test func `flags that are not known are skipped`() {
        var bytes = Samples.visitorStarts[0].start.bytes
        bytes[4] = 0xfd
        #expect(VisitorStart(bytes) == Samples.visitorStarts[0].start)
        bytes[4] = 0xfe
        #expect(VisitorStart(bytes)?.wantsAnswer == false)
    }

    @Test func `a host is 16 bytes, whatever it was made of`() {
        #expect(VisitorAddress(isIPv6: false, host: [], port: 1).host == [UInt8](repeating: 0, count: 16))
        #expect(VisitorAddress(isIPv6: true, host: .counting(from: 0, 40), port: 1).host == .counting(from: 0, 16))
    }
}

@Suite struct ReachabilityCheckTests {
    static func isAccepted(_ bytes: [UInt8]) -> Bool {
        ReachabilityCheck.isAnswer(bytes, nonce: Samples.nonce, mapping: Samples.mapping, by: Samples.peer.key)
    }

    @Test func `the right answer is accepted`() {
        #expect(Samples.answer.count == ReachabilityCheck.answerByteCount)
        #expect(Self.isAccepted(Samples.answer))
    }

    @Test func `an answer to another nonce, for another mapping or by another key is refused`() {
        let (nonce, mapping) = (Samples.nonce, Samples.mapping)
        #expect(
            !Self.isAccepted(ReachabilityCheck.answer(nonce: .counting(from: 1), mapping: mapping, by: Samples.peer)))
        #expect(
            !Self.isAccepted(
                ReachabilityCheck.answer(nonce: nonce, mapping: MappingID(value: mapping.value + 1), by: Samples.peer)))
        #expect(!Self.isAccepted(ReachabilityCheck.answer(nonce: nonce, mapping: mapping, by: Samples.relay)))
    }

    @Test func `an answer that is too short or too long is refused`() {
        #expect(!Self.isAccepted(Array(Samples.answer.dropLast())))
        #expect(!Self.isAccepted(Samples.answer + [0]))
    }

    @Test func `a probe is told from other first bytes as early as possible`() {
        let probe = Samples.probe
        #expect(probe.count == ReachabilityCheck.probeByteCount)
        for count in 0..<probe.count { #expect(ReachabilityCheck.read(Array(probe.prefix(count))) == .incomplete) }
        #expect(ReachabilityCheck.read(probe) == .probe(nonce: Samples.nonce))
        #expect(ReachabilityCheck.read(probe + [0]) == .foreign)
        #expect(ReachabilityCheck.read([0x16]) == .foreign)
        #expect(ReachabilityCheck.read(Preamble(kind: .session).bytes) == .foreign)
        #expect(ReachabilityCheck.read(Preamble(kind: .check, version: 2).bytes) == .foreign)
    }

    @Test func `a signature for a handshake is no answer`() {
        let signature = Samples.peer.signature(for: Array("p2prc/1 handshake".utf8) + Samples.nonce)
        #expect(!Self.isAccepted(Preamble(kind: .checkAnswer).bytes + signature))
    }
}
