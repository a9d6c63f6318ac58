import Foundation
import PeerCore
import PeerStorage
import TestSupport
import Testing

@Suite struct TokenKeyFilesTests {
    let folder = TestFolder()
    let home: Home
    let first = [UInt8](repeating: 1, count: 32)
    let second = [UInt8](repeating: 2, count: 32)

    init() throws { home = try folder.home() }

    func made() throws -> TokenKeyFiles { try TokenKeyFiles.loadOrCreate(in: home) { first } }

    @Test func `the key is made with the first token and read ever after`() throws {
        #expect(try TokenKeyFiles.load(home.paths) == nil)
        #expect(try made() == TokenKeyFiles.loadOrCreate(in: home) { second })
        #expect(try TokenKeyFiles.load(home.paths)?.current == first)
        #expect(try TokenKeyFiles.load(home.paths)?.previous == nil)
        #expect(mode(of: home.paths.tokenKey) == 0o600)
        #expect(folder.names == ["lock", "token.key"])
    }

    @Test func `a rotation keeps the key before, with the end of its time`() throws {
        let rotated = try made().rotate(in: home, to: second, previousValidUntil: .someday)
        #expect(rotated.current == second)
        #expect(rotated.previous == .init(seed: first, validUntil: .someday))
        #expect(try TokenKeyFiles.load(home.paths) == rotated)
        #expect(mode(of: home.paths.tokenKey) == 0o600 && mode(of: home.paths.previousTokenKey) == 0o600)
        let third = [UInt8](repeating: 3, count: 32)
        let again = try rotated.rotate(in: home, to: third, previousValidUntil: .someday + 1)
        #expect(again.previous == .init(seed: second, validUntil: .someday + 1))
        #expect(folder.names == ["lock", "token.key", "token.key.previous"])
    }

    @Test(.enabled(if: Ran.isInstalled("openssl", "version"), "needs openssl"))
    func `openssl reads both`() throws {
        _ = try made().rotate(in: home, to: second, previousValidUntil: .someday)
        for (path, byte) in [(home.paths.tokenKey, "02:02"), (home.paths.previousTokenKey, "01:01")] {
            let ran = try Ran(["openssl", "pkey", "-in", path, "-noout", "-text"])
            #expect(ran.status == 0 && ran.output.contains(byte), "\(ran.output)")
        }
    }

    @Test func `a key that others may read is refused`() throws {
        _ = try made().rotate(in: home, to: second, previousValidUntil: .someday)
        for path in [home.paths.tokenKey, home.paths.previousTokenKey] {
            chmod(path, 0o640)
            #expect(throws: StorageError.self) { try TokenKeyFiles.load(home.paths) }
            chmod(path, 0o600)
        }
        #expect(try TokenKeyFiles.load(home.paths) != nil)
    }

    @Test func `with any one bit of a file changed it is refused, or another key or time`() throws {
        let whole = try made().rotate(in: home, to: second, previousValidUntil: .someday)
        for path in [home.paths.tokenKey, home.paths.previousTokenKey] {
            let content = try #require(bytes(of: path))
            for index in content.indices {
                for bit in 0..<8 {
                    var changed = content
                    changed[index] ^= 1 << bit
                    _ = FileManager.default.createFile(atPath: path, contents: Data(changed))
                    chmod(path, 0o600)
                    let read = try? TokenKeyFiles.load(home.paths)
                    // White space around the lines of a PEM file means nothing (RFC 7468, section 2).
                    if read == whole, !content[index...index].contains(where: { $0 <= 0x20 }) {
                        Issue.record("\(path): bit \(bit) of byte \(index) may be changed")
                    }
                }
            }
            _ = FileManager.default.createFile(atPath: path, contents: Data(content))
            chmod(path, 0o600)
        }
        #expect(try TokenKeyFiles.load(home.paths) == whole)
    }

    @Test func `a damaged key is never replaced`() throws {
        write("no key\n", to: home.paths.tokenKey, mode: 0o600)
        let error = #expect(throws: StorageError.self) { try made() }
        #expect(error?.kind == .damaged)
        #expect(error?.description.contains("token.key") == true)
        #expect(bytes(of: home.paths.tokenKey) == Array("no key\n".utf8))
    }

    @Test func `nothing is written without the home's lock`() throws {
        let keys = try made()
        home.close()
        #expect(throws: StorageError.self) {
            try keys.rotate(in: home, to: second, previousValidUntil: .someday)
        }
        #expect(throws: StorageError.self) { try made() }
    }
}
