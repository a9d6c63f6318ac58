import Foundation
import PeerStorage
import PeerWire
import Testing

@Suite struct KeyHistoryFileTests {
    static let start: Int64 = 1_800_000_000
    let seeds = (1...4).map { [UInt8](repeating: UInt8($0), count: 32) }
    var nodes: [NodeIdentity] { seeds.compactMap { NodeIdentity(seed: $0) } }
    let folder = TestFolder()

    func step(_ former: Int, _ next: Int, seconds: Int64 = 1_000) -> KeySuccession {
        KeySuccession(from: nodes[former], to: nodes[next], made: Self.start, until: Self.start + seconds)
    }

    @Test func `a rotation replaces the key and says how it came about`() throws {
        let home = try folder.home()
        _ = try KeyFile.loadOrCreate(at: home.paths.nodeKey) { seeds[0] }
        #expect(try KeyHistoryFile.load(home.paths, of: nodes[0].key, at: Self.start).isEmpty)
        let history = KeyHistory([step(0, 1)])
        try KeyHistoryFile.rotate(in: home, to: seeds[1], history: history)
        #expect(try KeyFile.load(at: home.paths.nodeKey) == seeds[1])
        #expect(try KeyHistoryFile.load(home.paths, of: nodes[1].key, at: Self.start) == history)
        #expect(try KeyHistoryFile.load(home.paths, of: nodes[1].key, at: Self.start + 1_000).isEmpty, "it is over")
        let mode = try FileManager.default.attributesOfItem(atPath: home.paths.keyHistory)[.posixPermissions]
        #expect(mode as? Int == 0o600)
    }

    @Test func `a crash between the two files changes nothing`() throws {
        let home = try folder.home()
        try KeyHistoryFile.rotate(in: home, to: seeds[1], history: KeyHistory([step(0, 1)]))
        // The next rotation wrote the history, and not the key.
        try KeyHistoryFile.rotate(in: home, to: seeds[1], history: KeyHistory([step(0, 1), step(1, 2)]))
        #expect(try KeyHistoryFile.load(home.paths, of: nodes[1].key, at: Self.start) == KeyHistory([step(0, 1)]))
    }

    @Test func `the history of a key that was moved away is not that of the new node`() throws {
        let home = try folder.home()
        try KeyHistoryFile.rotate(in: home, to: seeds[1], history: KeyHistory([step(0, 1)]))
        #expect(try KeyHistoryFile.load(home.paths, of: nodes[3].key, at: Self.start).isEmpty)
    }

    @Test func `a damaged history is refused`() throws {
        let home = try folder.home()
        try KeyHistoryFile.rotate(in: home, to: seeds[1], history: KeyHistory([step(0, 1)]))
        let whole = try String(contentsOfFile: home.paths.keyHistory, encoding: .utf8)
        let flipped = (whole.hasPrefix("0") ? "1" : "0") + whole.dropFirst()
        for damaged in [String(flipped), String(whole.dropLast(3)), "x\n\(whole)", "\(whole)x\n"] {
            try damaged.write(toFile: home.paths.keyHistory, atomically: false, encoding: .utf8)
            let error = #expect(throws: StorageError.self) {
                try KeyHistoryFile.load(home.paths, of: nodes[1].key, at: Self.start)
            }
            #expect(error?.kind == .damaged)
        }
    }
}
