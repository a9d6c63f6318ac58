internal import PeerWire

/// Where something came from, in 8 bytes: an IPv4 address or an IPv6 /64, with the two wider networks around it
/// (`NetworkSteps`).
struct SourceKey: Hashable, Sendable {
    /// An IPv4 address in the lower half, or the upper half of an IPv6 address; ::/64 is nobody's.
    fileprivate let bits: UInt64

    init(_ host: HostAddress) { bits = host.isIPv6 ? host.leadingBits : host.leadingBits >> 32 }
    private init(bits: UInt64) { self.bits = bits }

    private var isIPv4: Bool { bits >> 32 == 0 }
    var near: SourceKey { SourceKey(bits: bits & (isIPv4 ? ~0xff : ~0xffff)) }
    var wide: SourceKey { SourceKey(bits: bits & (isIPv4 ? ~0xffff : ~0xffff_ffff)) }

    var host: HostAddress? {
        let count = isIPv4 ? 4 : 8
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: bits >> UInt64(8 * (count - 1 - $0))) }
        return HostAddress(bytes: isIPv4 ? bytes : bytes + [UInt8](repeating: 0, count: 8))
    }
}

/// Places counted by where those come from who have them: by source, network and wide network; and who has to give one
/// up for a newcomer. Whatever is done costs a few steps, however many there are.
struct NetworkTally: Sendable {
    private var wides = Heaviest()
    private var nears: [SourceKey: Heaviest] = [:]
    private var sources: [SourceKey: Heaviest] = [:]
    private(set) var count = 0

    mutating func add(_ source: SourceKey) {
        count += 1
        wides.add(source.wide)
        nears[source.wide, default: Heaviest()].add(source.near)
        sources[source.near, default: Heaviest()].add(source)
    }

    mutating func remove(_ source: SourceKey) {
        count -= 1
        wides.remove(source.wide)
        nears[source.wide]?.remove(source.near)
        if nears[source.wide]?.isEmpty == true { nears[source.wide] = nil }
        sources[source.near]?.remove(source)
        if sources[source.near]?.isEmpty == true { sources[source.near] = nil }
    }

    /// The source that gives up a place: of the network with most, if that has more than the newcomer's own would have.
    /// Where the wide networks are alike the near ones within the newcomer's own decide, and then the sources.
    func yielding(to newcomer: SourceKey) -> SourceKey? {
        guard let wide = wides.heaviest else { return nil }
        if wides.count(wide) > wides.count(newcomer.wide) + 1 { return heaviestSource(in: wide) }
        guard let own = nears[newcomer.wide], let near = own.heaviest else { return nil }
        if own.count(near) > own.count(newcomer.near) + 1 { return sources[near]?.heaviest }
        guard let neighbours = sources[newcomer.near], let source = neighbours.heaviest,
            neighbours.count(source) > neighbours.count(newcomer) + 1
        else { return nil }
        return source
    }

    private func heaviestSource(in wide: SourceKey) -> SourceKey? {
        nears[wide]?.heaviest.flatMap { sources[$0]?.heaviest }
    }
}

/// Counts, and which is the largest.
private struct Heaviest: Sendable {
    private var entries: [SourceKey: (count: Int, place: Int)] = [:]
    private var byCount: [Int: [SourceKey]] = [:]
    private var largest = 0

    var isEmpty: Bool { entries.isEmpty }
    var heaviest: SourceKey? { byCount[largest]?.first }

    func count(_ key: SourceKey) -> Int { entries[key]?.count ?? 0 }

    mutating func add(_ key: SourceKey) { move(key, to: count(key) + 1) }

    mutating func remove(_ key: SourceKey) {
        let count = count(key)
        if count > 0 { move(key, to: count - 1) }
    }

    /// One more or one less.
    private mutating func move(_ key: SourceKey, to count: Int) {
        if let former = entries[key], var alike = byCount.removeValue(forKey: former.count) {
            let last = alike.removeLast()
            if last != key {
                alike[former.place] = last
                entries[last]?.place = former.place
            }
            if !alike.isEmpty { byCount[former.count] = alike }
        }
        if count == 0 {
            entries[key] = nil
        } else {
            entries[key] = (count, byCount[count]?.count ?? 0)
            byCount[count, default: []].append(key)
        }
        // Where the largest one became less, nobody has more than it has now.
        largest = byCount[max(largest, count)] == nil ? count : max(largest, count)
    }
}
