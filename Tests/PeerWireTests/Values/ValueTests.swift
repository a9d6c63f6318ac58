import PeerWire
import Testing

@Suite struct HexTests {
    @Test func `every byte comes back`() {
        let all = Array(UInt8.min ... .max)
        #expect(Hex.decode(Hex.encode(all)) == all)
        #expect(Hex.encode([0, 0x0f, 0xa0, 0xff]) == "000fa0ff")
        #expect(Hex.decode("000FA0ff") == [0, 0x0f, 0xa0, 0xff])
        #expect(Hex.encode([]).isEmpty)
        #expect(Hex.decode("") == [])
    }

    @Test(arguments: ["0", "000", "0g", "g0", " 0", "0x", "+1", "-1", "٠٠", "00 "]) func `anything else is refused`(
        text: String
    ) {
        #expect(Hex.decode(text) == nil)
    }
}

@Suite struct IdentifierTests {
    @Test func `a mapping's name comes back from its text`() {
        for value: UInt64 in [0, 1, 0x0123_4567_89ab_cdef, .max] {
            let mapping = MappingID(value: value)
            #expect(mapping.description.utf8.count == 16)
            #expect(MappingID(mapping.description) == mapping)
        }
    }

    @Test(arguments: [
        "", "0", "123456789abcdef", "0123456789abcdefg", "+123456789abcdef", "-000000000000000", "g123456789abcdef",
    ])
    func `other texts name no mapping`(text: String) { #expect(MappingID(text) == nil) }

    @Test func `a node key has 32 bytes and 64 digits`() {
        let key = Samples.peer.key
        #expect(NodeKey(key.description) == key)
        #expect(key.short == String(key.description.prefix(16)))
        #expect(NodeKey(bytes: .counting(from: 0, 31)) == nil)
        #expect(NodeKey(bytes: .counting(from: 0, 33)) == nil)
        #expect(NodeKey(String(key.description.dropLast(2))) == nil)
        #expect(ProcessInstance(bytes: .counting(from: 0, 15)) == nil)
    }

    @Test func `the published example of Ed25519 holds`() throws {
        // RFC 8032, section 7.1, test 2.
        let seed = try #require(Hex.decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
        let identity = try #require(NodeIdentity(seed: seed))
        #expect(identity.key.description == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        let signature = try #require(
            Hex.decode(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                    + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"))
        #expect(identity.key.isSignature(signature, for: [0x72]))
        #expect(!identity.key.isSignature(signature, for: [0x73]))
        #expect(!identity.key.isSignature([], for: [0x72]))
    }
}

@Suite struct PortRangeTests {
    @Test func `a range is never empty, never holds 0 and never runs past the last port`() {
        #expect(PortRange(first: 0, last: 5) == nil)
        #expect(PortRange(first: 6, last: 5) == nil)
        #expect(PortRange(first: 0, count: 1) == nil)
        #expect(PortRange(first: 1, count: 0) == nil)
        #expect(PortRange(first: 1, count: -1) == nil)
        #expect(PortRange(first: 65_535, count: 2) == nil)
        #expect(PortRange(first: 1, count: 65_535) == .all)
        #expect(PortRange(first: 65_535, count: 1)?.count == 1)
    }

    @Test func `ranges contain and overlap`() throws {
        let range = try #require(PortRange(first: 10, last: 19))
        for (first, last, contains, overlaps) in [
            (10, 19, true, true), (12, 13, true, true), (9, 10, false, true), (19, 20, false, true),
            (1, 9, false, false), (20, 30, false, false), (1, 100, false, true),
        ] as [(UInt16, UInt16, Bool, Bool)] {
            let other = try #require(PortRange(first: first, last: last))
            #expect(range.contains(other) == contains)
            #expect(range.overlaps(other) == overlaps)
            #expect(other.overlaps(range) == overlaps)
        }
        #expect(range.description == "10-19")
        #expect(PortRange(first: 7, count: 1)?.description == "7")
    }
}
