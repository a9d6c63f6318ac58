import Foundation
import Glibc
import PeerCore
import PeerStorage
import TestSupport
import Testing

/// A file system of 512 KiB; `nil` where one cannot be mounted (not root, or a container that forbids it).
final class SmallDisk: Sendable {
    let folder = TestFolder()

    init?() {
        guard getuid() == 0,
            (try? Ran(["mount", "-t", "tmpfs", "-o", "size=512k", "p2prc-test", folder.path]))?.status == 0
        else { return nil }
    }

    deinit { _ = try? Ran(["umount", "--lazy", folder.path]) }

    static let isPossible = SmallDisk() != nil

    /// Takes all the room that is left.
    func fill() {
        let descriptor = open(folder.file("filler"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
        defer { close(descriptor) }
        for size in [4_096, 1] {
            let noise = [UInt8](repeating: 1, count: size)
            while Glibc.write(descriptor, noise, size) > 0 {}
        }
    }

    func empty() { unlink(folder.file("filler")) }
}

@Suite(.enabled(if: SmallDisk.isPossible, "a small file system can be mounted only by root"))
struct FullDiskTests {
    let disk: SmallDisk
    let home: Home

    init() throws {
        disk = try #require(SmallDisk())
        home = try disk.folder.home()
    }

    @Test func `a registry keeps its old content on a full disk and goes on when there is room`() async throws {
        let (file, _, _) = try RegistryFile<ServerRegistry>.open(in: home, now: .someday)
        let before = ServerRegistry(servers: [.example(1)])
        try await file.write(before)
        disk.fill()
        let after = ServerRegistry(servers: (1...200).map { .example($0) })
        let error = await #expect(throws: StorageError.self) { try await file.write(after) }
        #expect(error?.kind == .full)
        #expect(error?.description.contains("free some space") == true)
        #expect(try RegistryFile<ServerRegistry>.inspect(home.paths) == before)
        #expect(disk.folder.names.allSatisfy { !$0.hasSuffix(".tmp") })
        disk.empty()
        try await file.write(after)
        #expect(try RegistryFile<ServerRegistry>.inspect(home.paths) == after)
    }

    @Test func `the table says that the disk is full, loses nothing, and goes on when there is room`() async throws {
        let table = try IPTable.open(in: home, now: .someday).table
        try await table.save(JoinedRelay(address: "kept", added: .someday))
        disk.fill()
        var saved = 0
        let error = await #expect(throws: StorageError.self) {
            for number in 0..<10_000 {
                try await table.save(JoinedRelay(address: "relay \(number)", added: .someday + 1))
                saved += 1
            }
        }
        #expect(error?.kind == .full, "\(error.map(String.init(describing:)) ?? "")")
        #expect(error?.description.contains("\n") == false)
        #expect(try await table.joinedRelays().count == saved + 1)
        disk.empty()
        try await table.save(JoinedRelay(address: "later", added: .someday + 2))
        #expect(try await table.joinedRelays().count == saved + 2)
    }

    @Test func `a table or a key that cannot be begun on a full disk is a clear error and puts nothing aside`() throws {
        disk.fill()
        let error = #expect(throws: StorageError.self) { try IPTable.open(in: home, now: .someday) }
        #expect(error?.kind == .full, "\(error.map(String.init(describing:)) ?? "")")
        let second = #expect(throws: StorageError.self) {
            try KeyFile.loadOrCreate(at: home.paths.nodeKey) { [UInt8](repeating: 7, count: 32) }
        }
        #expect(second?.kind == .full)
        #expect(disk.folder.names.allSatisfy { !$0.contains("damaged") && $0 != "node.key" && !$0.hasSuffix(".tmp") })
        disk.empty()
        _ = try IPTable.open(in: home, now: .someday)
    }
}
