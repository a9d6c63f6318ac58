import Foundation
import PeerCore
import PeerWire

/// What replays or rewrites: `P2PRC_SEED=7` runs the simulation with this seed only, `P2PRC_SNAPSHOTS=write` rewrites
/// the committed snapshots, `P2PRC_LONG=1` runs many more seeds.
package enum Environment {
    private static let variables = ProcessInfo.processInfo.environment
    package static let seed = variables["P2PRC_SEED"].flatMap { UInt64($0) }
    package static let writesSnapshots = variables["P2PRC_SNAPSHOTS"] == "write"
    package static let isLong = variables["P2PRC_LONG"] == "1"
}

extension [UInt8] {
    /// 32 bytes that depend on `number` only.
    package static func seed(_ number: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: number)
        return (0..<32).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
    }
}

extension WallTime {
    package static let start = WallTime(seconds: 1_800_000_000)
}

extension PortRange {
    package static func only(_ port: UInt16) -> PortRange { PortRange(first: port, count: 1)! }
}
