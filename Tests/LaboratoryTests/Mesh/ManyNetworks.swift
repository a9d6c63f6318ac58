import TestSupport

extension DistantLab {
    /// Where the relays are in IPv6, once somebody sends from there.
    func relayAddress6(_ index: Int) -> String { "2600:7:13::\(11 + index)" }

    private func ip(_ words: String, in place: Place) throws {
        let result = try Ran(["ip", "-n", place.namespace!] + words.split(separator: " ").map(String.init))
        guard result.status == 0 else { throw Failure("ip \(words): \(result.words)") }
    }

    private func nft(_ rules: String, in place: Place) throws {
        let result = try Ran(["ip", "netns", "exec", place.namespace!, "nft", rules])
        guard result.status == 0 else { throw Failure("nft: \(result.words)") }
    }

    /// Each connection from that host to a node comes from the next of so many networks of one provider: 7.14.0.0/24,
    /// 7.14.1.0/24 and so on.
    func sendFromNetworks(_ count: Int, of place: Place, at address: String) throws {
        for index in 0..<count { try ip("addr add 7.14.\(index).1/32 dev wan", in: place) }
        for index in 0..<relayCount { try ip("route add 7.14.0.0/16 via \(address)", in: relay(index)) }
        try takeTurns("ip", (0..<count).map { "7.14.\($0).1" }, in: place)
    }

    /// The same with so many /64s of one /56 of IPv6, as everybody has them at home.
    func sendFromPrefixes(_ count: Int, of place: Place) throws {
        try ip("-6 addr add 2600:7:13::50/64 dev wan nodad", in: place)
        for index in 0..<relayCount {
            try ip("-6 addr add \(relayAddress6(index))/64 dev wan nodad", in: relay(index))
            try ip("-6 route add 2600:7:14::/56 via 2600:7:13::50", in: relay(index))
        }
        try takeTurns("ip6", (0..<count).map { "2600:7:14:\(String($0, radix: 16))::1" }, in: place)
    }

    private func takeTurns(_ family: String, _ addresses: [String], in place: Place) throws {
        let map = addresses.enumerated().map { "\($0) : \($1)" }.joined(separator: ", ")
        try nft(
            "add table \(family) turns; add chain \(family) turns post { type nat hook postrouting priority 100; }; "
                + "add rule \(family) turns post tcp dport 8088 snat to numgen inc mod "
                + "\(addresses.count) map { \(map) }",
            in: place)
    }
}
