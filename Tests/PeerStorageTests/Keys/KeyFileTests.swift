import Foundation
import Glibc
import PeerStorage
import PeerWire
import TestSupport
import Testing

@Suite struct KeyFileTests {
    let folder = TestFolder()
    var path: String { folder.file("node.key") }
    let seed = (1...32).map { UInt8($0) }

    @Test func `a missing key is made once and read ever after`() throws {
        #expect(try KeyFile.load(at: path) == nil)
        #expect(try KeyFile.loadOrCreate(at: path) { seed } == seed)
        #expect(
            try KeyFile.loadOrCreate(at: path) {
                Issue.record("a second seed"); return []
            } == seed)
        #expect(try KeyFile.load(at: path) == seed)
        #expect(folder.names == ["node.key"])
    }

    @Test func `the file is for its owner only, whatever the umask`() throws {
        _ = try KeyFile.loadOrCreate(at: path) { seed }
        #expect(mode(of: path) == 0o600)
    }

    @Test func `the file is PKCS#8 in PEM`() throws {
        _ = try KeyFile.loadOrCreate(at: path) { seed }
        let text = String(decoding: bytes(of: path)!, as: UTF8.self)
        #expect(
            text == """
                -----BEGIN PRIVATE KEY-----
                MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g
                -----END PRIVATE KEY-----

                """)
    }

    @Test(.enabled(if: Ran.isInstalled("openssl", "version"), "needs openssl"))
    func `openssl reads our keys and we read its`() throws {
        _ = try KeyFile.loadOrCreate(at: path) { seed }
        let ran = try Ran(["openssl", "pkey", "-in", path, "-noout", "-text"])
        #expect(ran.status == 0)
        #expect(ran.output.contains("ED25519 Private-Key"))
        #expect(ran.output.contains("01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f"))

        let theirs = folder.file("theirs.key")
        #expect(try Ran(["openssl", "genpkey", "-algorithm", "ed25519", "-out", theirs]).status == 0)
        chmod(theirs, 0o600)
        #expect(try KeyFile.load(at: theirs)?.count == 32)
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o777] as [mode_t])
    func `a key that others may touch is refused with the way to mend it`(mode: mode_t) throws {
        _ = try KeyFile.loadOrCreate(at: path) { seed }
        chmod(path, mode)
        let error = #expect(throws: StorageError.self) { try KeyFile.loadOrCreate(at: path) { seed } }
        #expect(error?.kind == .exposed)
        #expect(error?.description.contains("chmod 600 '\(path)'") == true)
        chmod(path, 0o600)
        #expect(try KeyFile.load(at: path) == seed)
    }

    static func pem(_ body: String, end: String = "-----END PRIVATE KEY-----\n") -> String {
        "-----BEGIN PRIVATE KEY-----\n\(body)\n\(end)"
    }

    static let damaged = [
        "", "no key at all", pem(""), pem("!!!!"), String(repeating: "A", count: 70_000),
        pem("MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        pem("MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", end: ""),
        // X25519 instead of Ed25519.
        pem("MC4CAQAwBQYDK2VuBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"),
    ]

    @Test(arguments: damaged) func `a damaged key is refused and never replaced`(text: String) throws {
        write(text, to: path, mode: 0o600)
        let error = #expect(throws: StorageError.self) {
            try KeyFile.loadOrCreate(at: path) {
                Issue.record("made a new identity"); return seed
            }
        }
        #expect(error?.kind == .damaged)
        #expect(error?.description.contains(path) == true)
        #expect(error?.description.contains("\n") == false)
        #expect(bytes(of: path) == Array(text.utf8))
        #expect(folder.names == ["node.key"])
    }

    /// Blanks and line ends around the text are nobody's identity; all else is.
    @Test func `with any byte changed it is refused or another identity, never taken for the same`() throws {
        _ = try KeyFile.loadOrCreate(at: path) { seed }
        let original = try #require(bytes(of: path))
        let key = try #require(NodeIdentity(seed: seed)).key
        let blanks: Set<UInt8> = [0x09, 0x0a, 0x0d, 0x20]
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        defer { try? handle.close() }
        var others = 0
        for index in original.indices {
            for value in UInt8.min ... .max where value != original[index] {
                try handle.seek(toOffset: UInt64(index))
                try handle.write(contentsOf: [value])
                guard let read = try? KeyFile.load(at: path) else { continue }
                if read == seed {
                    let isBlankForBlank = blanks.contains(value) && blanks.contains(original[index])
                    #expect(isBlankForBlank, "byte \(index) as \(value) is taken for the same key")
                } else {
                    others += 1
                    #expect(NodeIdentity(seed: read)?.key != key, "byte \(index) as \(value)")
                }
            }
            try handle.seek(toOffset: UInt64(index))
            try handle.write(contentsOf: [original[index]])
        }
        #expect(try KeyFile.load(at: path) == seed)
        // Of the 64 letters of the text 43 are the seed's; each has 63 others.
        #expect(others > 40 * 63)
    }

    @Test func `spaces and line ends of other systems do not damage a key`() throws {
        write(
            "\r\n-----BEGIN PRIVATE KEY-----  \r\nMC4CAQAwBQYDK2VwBCIEIAECAwQFBgcI\r\n"
                + "CQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\r\n-----END PRIVATE KEY-----\r\n\r\n", to: path, mode: 0o600)
        #expect(try KeyFile.load(at: path) == seed)
    }

    @Test func `a folder or a pipe in place of the key is refused without waiting`() throws {
        mkdir(path, 0o700)
        #expect(throws: StorageError.self) { try KeyFile.loadOrCreate(at: path) { seed } }
        rmdir(path)
        mkfifo(path, 0o600)
        let error = #expect(throws: StorageError.self) { try KeyFile.loadOrCreate(at: path) { seed } }
        #expect(error?.kind == .notAFile)
    }

    @Test func `a link that leads nowhere is refused and left alone`() throws {
        symlink("/nowhere/at/all", path)
        let error = #expect(throws: StorageError.self) { try KeyFile.loadOrCreate(at: path) { seed } }
        #expect(error?.kind == .missing)
        #expect(folder.names == ["node.key"])
    }

    @Test func `a seed of another length is refused`() {
        let error = #expect(throws: StorageError.self) { try KeyFile.loadOrCreate(at: path) { [1, 2, 3] } }
        #expect(error?.kind == .invalid)
        #expect(folder.names == [])
    }

    @Test func `of many makers at once one wins and all get its key`() async throws {
        let path = path
        let seeds = await withTaskGroup { group in
            for number in 1...16 as ClosedRange<UInt8> {
                group.addTask { try? KeyFile.loadOrCreate(at: path) { [UInt8](repeating: number, count: 32) } }
            }
            return await group.reduce(into: Set<[UInt8]?>()) { $0.insert($1) }
        }
        #expect(seeds == [try KeyFile.load(at: path)])
        #expect(folder.names == ["node.key"])
    }

    @Test func `another secret can be kept the same way`() throws {
        let path = folder.file("mesh.key")
        #expect(try SecretFile.read(at: path) == nil)
        #expect(try SecretFile.create([1, 2], at: path))
        #expect(try !SecretFile.create([3], at: path))
        #expect(try SecretFile.read(at: path) == [1, 2])
        #expect(mode(of: path) == 0o600)
    }
}
