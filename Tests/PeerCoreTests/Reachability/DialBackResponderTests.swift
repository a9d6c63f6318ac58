import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct DialBackResponderTests {
    static let own = Seal(0).key

    static func responder(_ mayDial: @escaping @Sendable (HostAddress) -> Bool = { _ in true }) -> DialBackResponder {
        DialBackResponder(own: own, mayDial: mayDial)
    }

    static func asker(_ number: Int, host: Int? = nil, isDirect: Bool = true) -> DialBackResponder.Asker {
        .init(key: Seal(number).key, observed: .number(host ?? number, port: 50_000), isDirect: isDirect)
    }

    static let request = DialBackRequest(nonce: .seed(1), port: 8_088)

    static func isDial(_ action: DialBackResponder.Action) -> UInt64? {
        if case .dial(let number, _, _, _) = action { number } else { nil }
    }

    @Test func `it dials the host that the request came from and no other`() throws {
        var responder = Self.responder()
        let action = responder.asked(Self.request, by: Self.asker(7), at: .zero)
        #expect(action == .dial(1, .number(7, port: 8_088), key: Seal(7).key, nonce: Self.request.nonce))
        let result = responder.dialled(1, reached: true, at: .start)
        #expect(
            result
                == .attest(
                    .init(
                        subject: Seal(7).key, witness: Self.own, time: WallTime.start.seconds,
                        address: .number(7, port: 8_088)), observed: .number(7, port: 50_000)))
        #expect(responder.dialled(1, reached: true, at: .start) == nil)
    }

    @Test func `who comes through a relay, from a forbidden host, or with the own key is dialled by nobody`() {
        var responder = Self.responder { $0 != .v4(9) }
        for asker in [
            Self.asker(7, isDirect: false), Self.asker(9),
            .init(key: Self.own, observed: .number(7, port: 50_000), isDirect: true),
        ] {
            #expect(
                responder.asked(Self.request, by: asker, at: .zero) == .answer(.notDialled, observed: asker.observed))
        }
    }

    @Test func `a host may be given more than a key`() {
        var limits = DialBackResponder.Limits()
        limits.dialsPerSource = 6
        var responder = DialBackResponder(own: Self.own, limits: limits) { _ in true }
        var dials: [Int: Int] = [:]
        for second in UInt64(0)..<20 {
            for key in [100, 101] {
                let action = responder.asked(Self.request, by: Self.asker(key, host: 7), at: .at(second * 1_000))
                guard let number = Self.isDial(action) else { continue }
                dials[key, default: 0] += 1
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect(dials == [100: 3, 101: 3] || dials == [100: 4, 101: 2])
    }

    @Test func `a host has one dial at a time and four a minute, whatever keys ask`() {
        var responder = Self.responder()
        var dials = 0
        for second in UInt64(0)..<120 {
            for key in 100..<110 {
                let action = responder.asked(Self.request, by: Self.asker(key, host: 7), at: .at(second * 1_000))
                guard let number = Self.isDial(action) else { continue }
                dials += 1
                #expect(
                    Self.isDial(responder.asked(Self.request, by: Self.asker(99, host: 7), at: .at(second * 1_000)))
                        == nil)
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect(dials == 8)
    }

    @Test func `a key has four dials a minute, wherever it comes from`() {
        var responder = Self.responder()
        var dials = 0
        for second in UInt64(0)..<60 {
            let action = responder.asked(
                Self.request, by: Self.asker(7, host: 1_000 + Int(second)), at: .at(second * 1_000))
            if let number = Self.isDial(action) {
                dials += 1
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect(dials == 4)
    }

    /// A host in a network of its own, and in a wide one.
    static func far(_ number: Int) -> DialBackResponder.Asker {
        let host = HostAddress("\(11 + number / 200).\(number % 200).0.1")!
        return .init(key: Seal(10_000 + number).key, observed: NodeAddress(host: host, port: 50_000)!, isDirect: true)
    }

    @Test func `all together have sixteen a second and sixteen at once`() {
        var responder = Self.responder()
        var dials = 0
        for step in 0..<1_000 {
            if Self.isDial(responder.asked(Self.request, by: Self.far(step), at: .at(UInt64(step) * 10))) != nil {
                dials += 1
            }
        }
        #expect(dials == 16)
        #expect(responder.nextDeadline == .at(4_000))
        #expect(responder.timePassed(at: .at(10_000)).count == 16)
        #expect(responder.nextDeadline == nil)
        for step in 0..<1_000 {
            let now = Instant.at(20_000 + UInt64(step) * 10)
            if let number = Self.isDial(responder.asked(Self.request, by: Self.far(2_000 + step), at: now)) {
                dials += 1
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect((16 + 158...16 + 178).contains(dials), "\(dials)")
    }

    /// Ports where SYNs are dropped take a place for four seconds each; `hosts` ask without a pause.
    static func busyShare(of hosts: [String]) -> Double {
        var responder = responder()
        var under: [UInt64] = []
        var (asked, served) = (0, 0)
        for step in 0..<12_000 {
            let now = Instant.at(UInt64(step) * 10)
            for (number, _) in responder.timePassed(at: now) { under.removeAll { $0 == number } }
            for offset in 0..<4 {
                let host = HostAddress(hosts[(step * 4 + offset) % hosts.count])!
                let rude = DialBackResponder.Asker(
                    key: Seal(20_000 + step * 4 + offset).key, observed: NodeAddress(host: host, port: 50_000)!,
                    isDirect: true)
                if let number = isDial(responder.asked(request, by: rude, at: now)) { under.append(number) }
            }
            // Somebody honest comes along every second, after the first ten.
            guard step % 100 == 50, step > 1_000 else { continue }
            asked += 1
            if let number = isDial(responder.asked(request, by: far(step / 100), at: now)) {
                served += 1
                _ = responder.dialled(number, reached: true, at: .start)
            }
        }
        return 1 - Double(served) / Double(asked)
    }

    /// Where a whole mesh is in one /24, and most of it behind firewalls: how many times a relay that asks every second
    /// is dialled, before and after its witness has met it.
    @Test func `in one network those that cannot be reached keep no relay waiting that the witness has met`() {
        func dialled(isMet: Bool) -> Int {
            var responder = Self.responder()
            var count = 0
            for step in 0..<400 {
                let now = Instant.at(UInt64(step) * 10)
                for (number, _) in responder.timePassed(at: now) {
                    _ = responder.dialled(number, reached: false, at: .start)
                }
                for host in 1...20 {
                    let place = NodeAddress(host: HostAddress("203.0.113.\(host)")!, port: 50_000)!
                    _ = responder.asked(
                        Self.request, by: .init(key: Seal(500 + host).key, observed: place, isDirect: true), at: now)
                }
                guard step % 100 == 50 else { continue }
                let relay = NodeAddress(host: HostAddress("203.0.113.200")!, port: 50_000)!
                let asker = DialBackResponder.Asker(key: Seal(7).key, observed: relay, isDirect: true, isMet: isMet)
                guard let number = Self.isDial(responder.asked(Self.request, by: asker, at: now)) else { continue }
                count += 1
                _ = responder.dialled(number, reached: true, at: .start)
            }
            return count
        }
        #expect(dialled(isMet: false) == 0)
        #expect(dialled(isMet: true) == 4)
    }

    @Test func `those that a witness has met take no more than their own places when they fall silent`() {
        var responder = Self.responder()
        func ask(_ host: String, isMet: Bool) -> Bool {
            let place = NodeAddress(host: HostAddress(host)!, port: 50_000)!
            let key = Seal(Int(place.host.bytes[2]) * 256 + Int(place.host.bytes[3])).key
            let asker = DialBackResponder.Asker(key: key, observed: place, isDirect: true, isMet: isMet)
            return Self.isDial(responder.asked(Self.request, by: asker, at: .zero)) != nil
        }
        #expect((1...9).count { ask("203.0.113.\($0)", isMet: true) } == 2)
        #expect((1...9).count { ask("203.0.\($0).1", isMet: true) } == 2)
        #expect((11...19).count { ask("203.0.113.\($0)", isMet: false) } == 4)
        #expect((11...19).count { ask("203.0.\($0).1", isMet: false) } == 4)
        // One at a time for each host, whoever it is.
        #expect(!ask("203.0.113.1", isMet: false))
    }

    @Test func `who has dials run into their limits keeps nobody else waiting`() {
        // A /56 with all its /64s; 200 addresses of one /24; 60 networks of one /16; 30 networks of their own.
        #expect(Self.busyShare(of: (0..<256).map { "2001:db8:7:\(String($0, radix: 16))::1" }) == 0)
        #expect(Self.busyShare(of: (1...200).map { "203.0.113.\($0)" }) == 0)
        #expect(Self.busyShare(of: (1...60).map { "198.51.\($0).1" }) == 0)
        #expect(Self.busyShare(of: (1...30).map { "\(60 + $0).7.0.1" }) <= 0.2)
    }
}
