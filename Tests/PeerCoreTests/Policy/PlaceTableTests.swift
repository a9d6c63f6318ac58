import PeerCore
import PeerWire
import Testing

@Suite struct PlaceTableTests {
    var table = PlaceTable<Int>(capacity: 16, kept: 4)
    let quiet: (Int) -> Bool = { _ in true }

    func address(_ text: String) throws -> HostAddress { try #require(HostAddress(text)) }

    @Test mutating func `while there is room everybody is admitted, but for what is kept for the known ones`() throws {
        for id in 0..<12 {
            #expect(
                table.arrived(id, from: try address("198.51.\(id).1"), isKnown: false, isSilent: quiet) == .admitted)
        }
        for id in 12..<16 {
            #expect(table.arrived(id, from: try address("203.0.113.9"), isKnown: true, isSilent: quiet) == .admitted)
        }
        #expect(table.count == 16)
    }

    @Test mutating func `a network that has most gives a place up, its oldest silent one first`() throws {
        for id in 0..<10 {
            _ = table.arrived(id, from: try address("198.51.100.\(id)"), isKnown: false, isSilent: quiet)
        }
        _ = table.arrived(10, from: try address("192.0.2.1"), isKnown: false, isSilent: quiet)
        _ = table.arrived(11, from: try address("192.0.2.2"), isKnown: false, isSilent: quiet)
        let spoken: Set = [0, 1, 2]
        let verdict = table.arrived(12, from: try address("203.0.113.7"), isKnown: false) { !spoken.contains($0) }
        #expect(verdict == .admittedInPlace(of: 3))
        #expect(
            table.arrived(13, from: try address("198.51.100.99"), isKnown: false) { _ in false }
                == .admittedInPlace(of: 0))
        #expect(table.count == 12)
    }

    @Test mutating func `networks are counted in two steps, so a wide one pays with its own`() throws {
        // Eight /24s of one /16 with one place each, against three places in one /24 elsewhere.
        for id in 0..<8 { _ = table.arrived(id, from: try address("198.51.\(id).1"), isKnown: false, isSilent: quiet) }
        for id in 8..<12 {
            _ = table.arrived(id, from: try address("203.0.113.\(id)"), isKnown: false, isSilent: quiet)
        }
        for id in 12..<16 {
            let verdict = table.arrived(id, from: try address("192.0.2.\(id)"), isKnown: false, isSilent: quiet)
            guard case .admittedInPlace(let loser) = verdict else {
                Issue.record("\(verdict)")
                return
            }
            #expect(loser < 8, "the /16 has most of them")
        }
        // In IPv6 likewise: a /48 of a /32.
        var six = PlaceTable<Int>(capacity: 4, kept: 0)
        for id in 0..<3 { _ = six.arrived(id, from: try address("2001:db8:\(id)::1"), isKnown: false, isSilent: quiet) }
        _ = six.arrived(3, from: try address("3fff::1"), isKnown: false, isSilent: quiet)
        let verdict = six.arrived(4, from: try address("3fff:1::1"), isKnown: false, isSilent: quiet)
        #expect([.admittedInPlace(of: 0), .admittedInPlace(of: 1), .admittedInPlace(of: 2)].contains(verdict))
    }

    @Test mutating func `strangers never take what is kept, and the known ones take from strangers first`() throws {
        for id in 0..<100 {
            _ = table.arrived(id, from: try address("198.51.\(id % 50).\(id)"), isKnown: false, isSilent: quiet)
        }
        #expect(table.count == 12)
        for id in 100..<104 {
            #expect(table.arrived(id, from: try address("203.0.113.9"), isKnown: true, isSilent: quiet) == .admitted)
        }
        guard
            case .admittedInPlace(let loser) = table.arrived(
                104, from: try address("203.0.113.9"), isKnown: true, isSilent: quiet)
        else {
            Issue.record("a known one is let in")
            return
        }
        #expect(loser < 100)
    }

    @Test mutating func `where the known ones have all of them a stranger takes one of theirs`() throws {
        for id in 0..<16 { _ = table.arrived(id, from: try address("203.0.113.9"), isKnown: true, isSilent: quiet) }
        #expect(
            table.arrived(16, from: try address("192.0.2.1"), isKnown: false, isSilent: quiet)
                == .admittedInPlace(of: 0))
    }

    @Test mutating func `who has left has no place, and leaving twice frees one only`() throws {
        for id in 0..<12 { _ = table.arrived(id, from: try address("198.51.100.1"), isKnown: false, isSilent: quiet) }
        table.left(3)
        table.left(3)
        #expect(table.arrived(20, from: try address("192.0.2.1"), isKnown: false, isSilent: quiet) == .admitted)
        #expect(
            table.arrived(21, from: try address("192.0.2.1"), isKnown: false, isSilent: quiet)
                == .admittedInPlace(of: 0))
    }

    @Test mutating func `one newcomer of an honest network stays while forty addresses come again and again`() throws {
        var big = PlaceTable<Int>(capacity: 512, kept: 128)
        var id = 0
        func flood(_ count: Int) throws {
            for _ in 0..<count {
                id += 1
                _ = big.arrived(id, from: try address("198.51.\(id % 40).\(id % 7)"), isKnown: false, isSilent: quiet)
            }
        }
        try flood(5_000)
        _ = big.arrived(-1, from: try address("192.0.2.1"), isKnown: false, isSilent: quiet)
        for _ in 0..<5_000 {
            id += 1
            let verdict = big.arrived(
                id, from: try address("198.51.\(id % 40).\(id % 7)"), isKnown: false, isSilent: quiet)
            #expect(verdict != .admittedInPlace(of: -1))
        }
    }
}

@Suite struct KnownSourcesTests {
    @Test func `a source is known for a day, an address of IPv4 or a 64th of IPv6`() throws {
        var known = KnownSources()
        let now = Instant.zero + .seconds(100)
        known.add(try #require(HostAddress("192.0.2.1")), at: now)
        known.add(try #require(HostAddress("2001:db8::1")), at: now)
        #expect(known.contains(try #require(HostAddress("192.0.2.1")), at: now + .seconds(86_399)))
        #expect(!known.contains(try #require(HostAddress("192.0.2.1")), at: now + .seconds(86_400)))
        #expect(!known.contains(try #require(HostAddress("192.0.2.2")), at: now))
        #expect(known.contains(try #require(HostAddress("2001:db8::2")), at: now))
        #expect(!known.contains(try #require(HostAddress("2001:db8:0:1::1")), at: now))
    }

    @Test func `who has many addresses of one network pushes out his own alone`() throws {
        var known = KnownSources()
        let victim = try #require(HostAddress("192.0.2.1"))
        known.add(victim, at: .zero + .seconds(1))
        for host in 0..<250 {
            known.add(try #require(HostAddress("198.51.100.\(host)")), at: .zero + .seconds(2 + UInt64(host)))
        }
        let now = Instant.zero + .seconds(300)
        #expect(known.contains(victim, at: now))
        let kept = try (0..<250).filter { known.contains(try #require(HostAddress("198.51.100.\($0)")), at: now) }
        #expect(kept == Array(234..<250))
    }
}
