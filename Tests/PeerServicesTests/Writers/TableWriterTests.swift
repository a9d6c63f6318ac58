import Foundation
import Logging
import PeerCore
import PeerServices
import PeerStorage
import PeerWire
import Synchronization
import Testing

/// What waits for a disk that takes nothing, and comes to it as soon as it does.
@Suite final class TableWriterTests {
    /// A disk that fails while it is broken, and remembers what was written.
    private final class Disk: Sendable {
        let isBroken = Mutex(false)
        let written = Mutex<[String]>([])

        func body(_ text: String) -> TableWriter.Body {
            { [self] table throws(StorageError) in
                if isBroken.withLock({ $0 }) {
                    throw StorageError(.full, path: table.path, detail: "cannot write it: no room")
                }
                written.withLock { $0.append(text) }
            }
        }

        func breaks(_ isBroken: Bool) { self.isBroken.withLock { $0 = isBroken } }
        var all: [String] { written.withLock { $0 } }
    }

    private let folder = NSTemporaryDirectory() + "p2prc-writer-\(UInt64.random(in: 0 ... .max))"
    private let table: IPTable
    private let writer: TableWriter
    private let home: Home
    private let disk = Disk()

    init() throws {
        home = try Home.open(at: folder)
        table = try IPTable.open(in: home, now: .init(seconds: 1_900_000_000)).table
        // Nothing is tried again by itself while a test looks.
        writer = TableWriter(table, log: Logger(label: "test"), pauses: (.seconds(3_600), .seconds(3_600)))
    }

    deinit {
        home.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    private func write(_ text: String) async -> StorageError? {
        await withCheckedContinuation { done in
            writer.write("a text", disk.body(text)) { done.resume(returning: $0) }
        }
    }

    private func keep(_ text: String, as name: String) async -> StorageError? {
        await withCheckedContinuation { done in
            writer.keep("a text", as: name, disk.body(text)) { done.resume(returning: $0) }
        }
    }

    private func confirm(_ name: String) async -> StorageError? {
        await withCheckedContinuation { done in writer.confirm(name) { done.resume(returning: $0) } }
    }

    @Test func `what cannot be written says why at once, and only what is kept is tried again`() async {
        disk.breaks(true)
        #expect(await write("once")?.kind == .full)
        #expect(await keep("kept", as: "a")?.kind == .full)
        #expect(await confirm("a")?.kind == .full)
        #expect(await confirm("b") == nil, "nothing waits by that name")
        disk.breaks(false)
        #expect(await write("later") == nil)
        // With the first write that succeeds, and before anything that is handed over after that.
        #expect(await confirm("a") == nil)
        #expect(disk.all == ["later", "kept"])
        await writer.finish()
        #expect(disk.all == ["later", "kept"])
    }

    @Test func `of what is kept by one name the last counts, the others keep their order`() async {
        disk.breaks(true)
        _ = await keep("a lease", as: "a")
        _ = await keep("another", as: "b")
        _ = await keep("its end", as: "a")
        disk.breaks(false)
        #expect(await confirm("a") == nil)
        #expect(disk.all == ["its end"])
        await writer.finish()
        #expect(disk.all == ["its end", "another"], "at the end it is tried once more")
    }

    @Test(.timeLimit(.minutes(1))) func `what is kept comes to the disk by itself`() async throws {
        let writer = TableWriter(table, log: Logger(label: "test"))
        disk.breaks(true)
        await withCheckedContinuation { done in
            writer.keep("a text", as: "a", disk.body("kept")) { _ in done.resume() }
        }
        disk.breaks(false)
        while disk.all.isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        #expect(disk.all == ["kept"])
        await writer.finish()
        await self.writer.finish()
    }

    private func retirement(_ number: Int, isPossessed: Bool) -> Retirement {
        func key(_ byte: UInt8) -> NodeKey {
            NodeKey(
                bytes: [byte] + withUnsafeBytes(of: UInt64(number)) { Array($0) } + [UInt8](repeating: 1, count: 23))!
        }
        return Retirement(
            former: key(1), next: key(2), account: .mesh(network: "192.0.2.0/24"), hadPossessions: isPossessed)
    }

    @Test
    func `changes of key are written together, a lease before those that moved nothing, and the last word counts`()
        async throws
    {
        let account = Grant.Membership.mesh(network: "192.0.2.0/24")
        // The table is busy until all of it waits.
        let isOpen = Mutex(false)
        writer.write("a text", { _ throws(StorageError) in while !isOpen.withLock({ $0 }) { usleep(1_000) } })
        let changes = (0..<3_000).map { retirement($0, isPossessed: $0 == 7) }
        for change in changes { writer.retire(change, inLineWith: account) }
        for change in changes[10...] { writer.forgetRetired(change.former, on: account) }
        let before: Int = await withCheckedContinuation { done in
            writer.write(
                "a text",
                { [table] _ throws(StorageError) in
                    let count = (try? table.assumeIsolated { try $0.retiredKeys().count }) ?? -1
                    done.resume(returning: count)
                })
            isOpen.withLock { $0 = true }
        }
        #expect(before == 1, "what had something to move, and nothing else")
        await writer.finish()
        #expect(Set(try await table.retiredKeys().map(\.retirement)) == Set(changes[..<10]))
    }
}
