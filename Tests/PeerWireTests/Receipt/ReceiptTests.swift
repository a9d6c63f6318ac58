import PeerWire
import Testing

@Suite struct ReceiptTests {
    static let receipt = Samples.terms.signed(byRelay: Samples.relay).countersigned(byPeer: Samples.peer)

    /// How reading or verifying ends badly; `nil` if it does not.
    static func fault(_ bytes: [UInt8]) -> ReceiptFault? {
        do throws(ReceiptFault) {
            try Receipt(bytes).verify()
            return nil
        } catch { return error }
    }

    static func fault(_ text: String) -> ReceiptFault? { fault(Array(text.utf8)) }
    static let text = String(decoding: receipt.bytes, as: UTF8.self)

    @Test func `the file is what the documentation shows`() {
        let lines = Self.text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(
            lines.prefix(10).joined(separator: "\n") == """
                p2prc receipt 1
                relay: \(Samples.relay.key)
                peer: \(Samples.peer.key)
                mapping: 0123456789abcdef
                protocol: tcp
                address: relay.example.org
                ports: 40000-40009
                issued: 2027-01-15T08:00:00Z
                expires: 2027-01-16T08:00:00Z
                limits: connections=100 bytes/s=10000000
                """)
        #expect(lines.count == 13 && lines[12] == "")
        #expect(lines[10].hasPrefix("relay-signature: ") && lines[11].hasPrefix("peer-signature: "))
    }

    @Test func `a receipt comes back as it was written, and verifies`() throws {
        let read = try Receipt(Self.receipt.bytes)
        #expect(read == Self.receipt)
        #expect(read.terms == Samples.terms)
        try read.verify()
    }

    @Test func `every kind of terms comes back as it was written`() throws {
        var all = Receipt.Terms.Limits()
        (all.keys, all.leases, all.mappings) = (1, 0, .max)
        (all.connections, all.connectionsPerSecond, all.bytesPerSecond) = (3, 4, 5)
        for limits in [Receipt.Terms.Limits(), all] {
            for protocols: TransportProtocols in [.tcp, .udp, [.tcp, .udp]] {
                for host in ["203.0.113.9", "2001:db8::1", "büro.example", String(repeating: "a", count: 255)] {
                    for ports in [PortRange.all, PortRange(first: 1, count: 1)!] {
                        let terms = try #require(
                            Receipt.Terms(
                                between: .init(relay: Samples.relay.key, peer: Samples.peer.key),
                                mapping: MappingID(value: 0), protocols: protocols, host: host, ports: ports,
                                during: .init(issued: 0, expires: 253_402_300_799), limits: limits))
                        #expect(try Receipt.Terms(terms.bytes) == terms)
                        let receipt = terms.signed(byRelay: Samples.relay).countersigned(byPeer: Samples.peer)
                        #expect(receipt.bytes.count <= Receipt.maximumByteCount)
                        #expect(Self.fault(receipt.bytes) == nil)
                    }
                }
            }
        }
    }

    @Test(arguments: [
        "", " ", "two words", "a\nrelay: b", "a\u{7f}", "a\u{a0}b", "\u{2028}", String(repeating: "a", count: 256),
    ]) func `a host that would not stay in its line is none`(host: String) {
        #expect(
            Receipt.Terms(
                between: .init(relay: Samples.relay.key, peer: Samples.peer.key), mapping: Samples.mapping,
                protocols: .tcp, host: host, ports: .all, during: .init(issued: 0, expires: 1), limits: .init()) == nil)
    }

    @Test func `times that no calendar has, and no protocol, are no terms`() {
        func terms(_ issued: Int64, _ expires: Int64, _ protocols: TransportProtocols) -> Receipt.Terms? {
            Receipt.Terms(
                between: .init(relay: Samples.relay.key, peer: Samples.peer.key), mapping: Samples.mapping,
                protocols: protocols, host: "h", ports: .all, during: .init(issued: issued, expires: expires),
                limits: .init())
        }
        #expect(terms(0, 1, .tcp) != nil)
        #expect(terms(.min, 1, .tcp) == nil)
        #expect(terms(0, .max, .tcp) == nil)
        #expect(terms(0, 1, []) == nil)
        #expect(terms(0, 1, TransportProtocols(rawValue: 4)) == nil)
    }

    @Test func `with any one bit changed it is refused`() {
        let bytes = Self.receipt.bytes
        for index in bytes.indices {
            for bit in 0..<8 as Range<UInt8> where Self.fault(bytes.flipping(bit: bit, at: index)) == nil {
                Issue.record("bit \(bit) of byte \(index) may be changed")
            }
        }
    }

    @Test func `with a byte more or less anywhere it is refused`() {
        let bytes = Self.receipt.bytes
        for index in 0...bytes.count {
            for byte in [UInt8(ascii: "\n"), UInt8(ascii: " "), UInt8(ascii: "="), UInt8(ascii: "0"), 13, 0] {
                var longer = bytes
                longer.insert(byte, at: index)
                if Self.fault(longer) == nil { Issue.record("\(byte) may be put at \(index)") }
            }
            guard index < bytes.count else { continue }
            var shorter = bytes
            shorter.remove(at: index)
            if Self.fault(shorter) == nil { Issue.record("byte \(index) may be left out") }
            if Self.fault(Array(bytes.prefix(index))) == nil { Issue.record("the first \(index) bytes are enough") }
        }
    }

    @Test func `the fault says what is wrong`() throws {
        #expect(Self.fault("") == .line(1, wanted: "p2prc receipt 1"))
        for (old, new, line) in [
            ("receipt 1", "receipt 2", 1), ("relay: a", "relay: g", 2), ("peer: 7", "peer: ", 3),
            ("0123456789abcdef", "0123456789abcde", 4), ("tcp", "sctp", 5), ("40000-40009", "40009-40000", 7),
            ("2027-01-15T", "2027-02-30T", 8), ("16T08", "16T24", 9), ("connections=", "visitors=", 10),
            ("relay-signature: ", "relay-signature: =", 11), ("peer-signature", "peer signature", 12),
        ] {
            guard case .line(line, _) = Self.fault(Self.text.replacing(old, with: new)) else {
                Issue.record("\(new) is not in line \(line)")
                continue
            }
        }
        #expect(
            Self.fault(Self.text.replacing("tcp", with: "sctp"))
                == .line(5, wanted: "protocol: and tcp, udp or tcp+udp"))
        #expect(Self.fault(Self.text.replacing("\n", with: "\r\n")) == .line(1, wanted: "p2prc receipt 1"))
        #expect(Self.fault(Self.text + "\n") == .notCanonical)
        #expect(Self.fault(Self.text.replacing("=100 ", with: "=0100 ")) == .notCanonical)
        #expect(Self.fault(Self.text.replacing("=100 ", with: "=100 connections=100 ")) == .notCanonical)
        #expect(Self.fault([UInt8](repeating: 0x61, count: Receipt.maximumByteCount + 1)) == .tooLong)
        #expect(Self.fault(Self.text.replacing("connections=100", with: "connections=101")) == .relaySignature)
    }

    @Test func `each signature must be that of its own key`() {
        let draft = Samples.terms.signed(byRelay: Samples.relay)
        #expect(draft.isSignedByRelay)
        #expect(!Samples.terms.signed(byRelay: Samples.peer).isSignedByRelay)
        #expect(Self.fault(draft.countersigned(byPeer: Samples.relay).bytes) == .peerSignature)
        #expect(
            Self.fault(
                Samples.terms.signed(byRelay: Samples.peer).countersigned(byPeer: Samples.peer).bytes)
                == .relaySignature)
        let whole = Self.receipt
        let crossed = Receipt(
            terms: whole.terms, relaySignature: whole.peerSignature, peerSignature: whole.relaySignature)
        #expect(Self.fault(crossed.bytes) == .relaySignature)
        #expect(Self.fault(draft.with(peerSignature: whole.peerSignature).bytes) == nil)
    }

    @Test(arguments: ["30000-30010", "1", "65535", "1-65535"]) func `a range is read as it is written`(text: String) {
        #expect(PortRange(text)?.description == text)
    }

    @Test(arguments: ["", "-", "1-", "-1", "0", "0-5", "5-3", "65536", "1-2-3", "+1", "1 ", " 1", "1–2", "٣", "1,2"])
    func `what is no range of ports is not read as one`(text: String) { #expect(PortRange(text) == nil) }
}
