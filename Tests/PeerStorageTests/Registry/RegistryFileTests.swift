import Foundation
import Glibc
import PeerCore
import PeerStorage
import PeerWire
import Testing

@Suite struct RegistryFileTests {
    let folder = TestFolder()
    var path: String { folder.file("reverse_proxy_server.json") }
    let document = ServerRegistry(servers: [.example(1), .example(2)])

    func open(
        _ home: Home
    ) throws -> (file: RegistryFile<ServerRegistry>, document: ServerRegistry, warnings: [StorageWarning]) {
        try RegistryFile<ServerRegistry>.open(in: home, now: .someday)
    }

    @Test func `a home without the file has an empty registry and no warning`() throws {
        let (_, document, warnings) = try open(try folder.home())
        #expect(document == ServerRegistry())
        #expect(warnings == [])
        #expect(folder.names == ["lock"])
        #expect(try RegistryFile<ServerRegistry>.inspect(try Home.inspect(at: folder.path)) == nil)
    }

    @Test func `what is written is read again, with and without the lock`() async throws {
        let home = try folder.home()
        let (file, _, _) = try open(home)
        #expect(try await file.write(document))
        #expect(mode(of: path) == 0o600)
        #expect(try RegistryFile<ServerRegistry>.inspect(home.paths) == document)
        #expect(try open(home).document == document)
        #expect(folder.names == ["lock", "reverse_proxy_server.json"])
    }

    @Test func `the two registries do not touch each other`() async throws {
        let home = try folder.home()
        let mappings = MappingRegistry(mappings: [.example(1)])
        try await open(home).file.write(document)
        try await RegistryFile<MappingRegistry>.open(in: home, now: .someday).file.write(mappings)
        #expect(try open(home).document == document)
        #expect(try RegistryFile<MappingRegistry>.inspect(home.paths) == mappings)
    }

    @Test func `a file that would stay the same is left alone`() async throws {
        let (file, _, _) = try open(try folder.home())
        var (before, after) = (stat(), stat())
        #expect(try await file.write(document))
        stat(path, &before)
        #expect(try await !file.write(document))
        stat(path, &after)
        #expect(before.st_ino == after.st_ino)
        #expect(try await file.write(ServerRegistry()))
    }

    @Test func `a file that somebody else spoiled is mended by the next write`() async throws {
        let (file, _, _) = try open(try folder.home())
        try await file.write(document)
        write("spoiled", to: path)
        #expect(try await file.write(document))
        #expect(try bytes(of: path) == document.json())
    }

    static let damaged = [
        "", "{", "null", "[]", "garbage", #"{"reverse_proxy_servers":[{"Server_name":"cut o"#,
        #"{"reverse_proxy_servers":[{}]}"#, "\u{0}\u{0}\u{0}",
    ]

    @Test(arguments: damaged) func `a damaged file is kept aside by whoever holds the lock`(text: String) async throws {
        write(text, to: path)
        let home = try folder.home()
        let (file, document, warnings) = try open(home)
        #expect(document == ServerRegistry())
        #expect(warnings.map(\.movedTo) == [path + ".damaged-1900000000"])
        #expect(warnings.allSatisfy { !$0.reason.isEmpty })
        #expect(bytes(of: path + ".damaged-1900000000") == Array(text.utf8))
        try await file.write(self.document)
        #expect(try open(home).document == self.document)
    }

    @Test(arguments: damaged) func `a reader without the lock only reports a damaged file`(text: String) throws {
        write(text, to: path)
        let error = #expect(throws: StorageError.self) {
            try RegistryFile<ServerRegistry>.inspect(try Home.inspect(at: folder.path))
        }
        #expect(error?.kind == .damaged)
        #expect(folder.names == ["reverse_proxy_server.json"])
    }

    @Test func `a folder in place of the file is kept aside too`() throws {
        mkdir(path, 0o700)
        #expect(try open(try folder.home()).warnings.map(\.movedTo) == [path + ".damaged-1900000000"])
    }

    @Test func `a folder that comes in place of the file later makes the write fail and is kept`() async throws {
        let (file, _, _) = try open(try folder.home())
        mkdir(path, 0o700)
        await #expect(throws: StorageError.self) { try await file.write(document) }
        #expect(folder.names == ["lock", "reverse_proxy_server.json"])
    }

    @Test func `a document that breaks the format is not written, and the field is named`() async throws {
        let (file, _, _) = try open(try folder.home())
        try await file.write(document)
        var wrong = document
        wrong.servers[1].address = "nowhere"
        let error = await #expect(throws: StorageError.self) { try await file.write(wrong) }
        #expect(error?.kind == .invalid)
        #expect(error?.description.contains("reverse_proxy_servers[1].Address") == true)
        #expect(try bytes(of: path) == document.json())
    }

    @Test func `nothing is written once the home is closed`() async throws {
        let home = try folder.home()
        let (file, _, _) = try open(home)
        home.close()
        let error = await #expect(throws: StorageError.self) { try await file.write(document) }
        #expect(error?.kind == .notHeld)
        #expect(throws: StorageError.self) { try open(home) }
    }

    @Test(.enabled(if: getuid() != 0, "root may write anywhere"))
    func `a write that the system forbids leaves the old file whole`() async throws {
        let (file, _, _) = try open(try folder.home())
        try await file.write(document)
        chmod(folder.path, 0o500)
        defer { chmod(folder.path, 0o700) }
        let error = await #expect(throws: StorageError.self) { try await file.write(ServerRegistry()) }
        #expect(error?.kind == .denied)
        #expect(try bytes(of: path) == document.json())
    }

    @Test func `a write into a home that has vanished is an error`() async throws {
        let (file, _, _) = try open(try folder.home())
        try FileManager.default.removeItem(atPath: folder.path)
        let error = await #expect(throws: StorageError.self) { try await file.write(document) }
        #expect(error?.kind == .missing)
    }

    @Test func `readers always see a whole file while it is rewritten 500 times`() async throws {
        let home = try folder.home()
        let paths = home.paths
        let (file, _, _) = try open(home)
        try await file.write(ServerRegistry())
        let seen = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    var count = 0
                    while !Task.isCancelled {
                        let read = try RegistryFile<ServerRegistry>.inspect(paths)
                        // Each document has as many rows as their common name says.
                        let servers = try #require(read).servers
                        #expect(servers.allSatisfy { $0.name == "\(servers.count)" })
                        count += 1
                        await Task.yield()
                    }
                    return count
                }
            }
            for number in 1...500 {
                let rows = number % 40 + 1
                var server = ServerRegistry.Server.example(number)
                server.name = "\(rows)"
                try await file.write(ServerRegistry(servers: Array(repeating: server, count: rows)))
            }
            group.cancelAll()
            return try await group.reduce(0, +)
        }
        #expect(seen > 0)
        #expect(folder.names == ["lock", "reverse_proxy_server.json"])
    }
}
