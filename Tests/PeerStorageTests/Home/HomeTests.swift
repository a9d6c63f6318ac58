import Foundation
import Glibc
import PeerStorage
import TestSupport
import Testing

@Suite struct HomeTests {
    let folder = TestFolder()

    @Test func `a missing home is created with its parents, for its owner only`() throws {
        let home = try Home.open(at: folder.file("a/b/home"))
        #expect(home.paths.folder == folder.file("a/b/home"))
        #expect(mode(of: home.paths.folder) == 0o700)
    }

    @Test func `every file has its place in the home`() throws {
        let paths = try Home.inspect(at: folder.path + "//./")
        #expect(paths.folder == folder.path)
        #expect(paths.config == folder.file("config.toml"))
        #expect(paths.nodeKey == folder.file("node.key"))
        #expect(paths.meshKey == folder.file("mesh.key"))
        #expect(paths.ipTable == folder.file("ip_table.sqlite"))
        #expect(paths.reverseProxyServer == folder.file("reverse_proxy_server.json"))
        #expect(paths.reverseProxyMapping == folder.file("reverse_proxy_mapping.json"))
        #expect(paths.controlSocket == folder.file("control.sock"))
        #expect(paths.apiSocket == folder.file("api.sock"))
    }

    @Test func `a relative path is taken from the working directory and kept absolute`() throws {
        let working = FileManager.default.currentDirectoryPath
        #expect(try Home.inspect(at: ".").folder == working)
    }

    @Test func `looking at a home creates and locks nothing`() throws {
        _ = try Home.inspect(at: folder.path)
        #expect(folder.names == [])
        #expect(throws: HomeError.missing(path: folder.file("none"))) { try Home.inspect(at: folder.file("none")) }
        #expect(folder.names == [])
    }

    @Test func `a second holder is refused with the number of the first`() throws {
        let first = try folder.home()
        #expect(throws: HomeError.inUse(path: folder.path, pid: getpid())) { try folder.home() }
        #expect(try Home.holder(at: folder.path)?.pid == getpid())
        _ = first
    }

    @Test func `the lock file shows the holder's number as text`() throws {
        let home = try folder.home()
        #expect(bytes(of: home.paths.lock) == Array("\(getpid())\n".utf8))
    }

    @Test(.enabled(if: Ran.isInstalled("flock", "--version"), "needs the command flock"))
    func `another process sees the lock, and its own keeps us out`() async throws {
        let home = try folder.home()
        #expect(try Ran(["flock", "--nonblock", home.paths.lock, "true"]).status != 0)
        home.close()
        #expect(try Ran(["flock", "--nonblock", home.paths.lock, "true"]).status == 0)

        let child = try Program(
            "holder", "flock", [home.paths.lock, "sh", "-c", "echo held; read line"], folder: folder.file("output"))
        try await child.line(containing: "held")
        #expect(throws: HomeError.inUse(path: folder.path, pid: nil)) { try folder.home() }
        #expect(try Home.holder(at: folder.path) != nil)
        child.closeInput()
        try await child.exit()
        #expect(try Home.holder(at: folder.path) == nil)
    }

    @Test func `closing gives the lock back, and so does letting go`() throws {
        let first = try folder.home()
        first.close()
        first.close()
        #expect(!first.isHeld)
        #expect(try Home.holder(at: folder.path) == nil)
        do {
            let second = try folder.home()
            #expect(second.isHeld)
        }
        #expect(try Home.holder(at: folder.path) == nil)
        _ = try folder.home()
    }

    @Test func `a home that was never there has no holder`() throws {
        #expect(try Home.holder(at: folder.file("none")) == nil)
    }

    @Test func `asking for the holder does not make a starting node fail`() async throws {
        let path = folder.path
        await withTaskGroup { group in
            for _ in 0..<2 {
                group.addTask { for _ in 0..<500 { _ = try? Home.holder(at: path) } }
            }
            group.addTask {
                for _ in 0..<100 {
                    let home = try? Home.open(at: path)
                    #expect(home != nil)
                    home?.close()
                }
            }
        }
    }

    @Test func `a child process does not inherit the lock`() async throws {
        let home = try folder.home()
        let child = try Program("child", "cat", [], folder: folder.file("output"))
        home.close()
        #expect(try Home.holder(at: folder.path) == nil)
        child.closeInput()
        try await child.exit()
    }

    @Test(arguments: [107, 108]) func `a socket path may have 107 bytes and not one more`(length: Int) throws {
        let rest = length - folder.path.utf8.count - "//control.sock".utf8.count
        let path = folder.file(String(repeating: "x", count: rest))
        guard length > 107 else {
            #expect(try Home.open(at: path).paths.controlSocket.utf8.count == 107)
            return
        }
        #expect(throws: HomeError.tooDeep(path: path, socket: "\(path)/control.sock")) { try Home.open(at: path) }
        #expect(folder.names == [], "nothing is created for a home that cannot be used")
    }

    @Test func `a file in place of the home is refused`() throws {
        write("", to: folder.file("home"))
        #expect(throws: HomeError.notADirectory(path: folder.file("home"))) { try Home.open(at: folder.file("home")) }
        #expect(throws: HomeError.self) { try Home.open(at: folder.file("home/below")) }
    }

    @Test(.enabled(if: getuid() != 0, "root may write anywhere"))
    func `a home that may not be written is refused`() throws {
        chmod(folder.path, 0o500)
        defer { chmod(folder.path, 0o700) }
        #expect(throws: HomeError.notWritable(path: folder.path, reason: "Permission denied")) { try folder.home() }
    }

    @Test func `a home that the system does not let be created is refused`() throws {
        #expect { try Home.open(at: "/proc/p2prc") } throws: { error in
            guard case .cannotCreate("/proc/p2prc", _)? = error as? HomeError else { return false }
            return true
        }
    }

    @Test func `what a crash left half written is cleared away, and nothing else`() throws {
        for name in [".node.key.1f.tmp", ".reverse_proxy_server.json.2.tmp", "notes.tmp", ".other.1.tmp"] {
            write("half", to: folder.file(name))
        }
        let home = try folder.home()
        #expect(folder.names == [".other.1.tmp", "lock", "notes.tmp"])
        _ = home
    }

    @Test func `each error is one line with the path and a way on`() {
        let errors: [HomeError] = [
            .missing(path: "/h"), .anothers(path: "/h"), .notADirectory(path: "/h"),
            .cannotCreate(path: "/h", reason: "r"),
            .notWritable(path: "/h", reason: "r"), .tooDeep(path: "/h", socket: "/h/control.sock"),
            .inUse(path: "/h", pid: 7), .inUse(path: "/h", pid: nil), .cannotLock(path: "/h", reason: "r"),
        ]
        for error in errors {
            #expect(error.description.hasPrefix("/h: "))
            #expect(error.description.contains("; "))
            #expect(error.description.contains("--home"))
            #expect(!error.description.contains("\n"))
        }
        #expect(HomeError.inUse(path: "/h", pid: 7).description.contains("process 7"))
    }
}
