import Foundation
import Glibc
import PeerCore
import PeerStorage
import PeerWire
import TestSupport
import Testing

@Suite struct IPTableOpeningTests {
    let folder = TestFolder()
    let relay = JoinedRelay(address: "a:1", added: .someday)
    var path: String { folder.file("ip_table.sqlite") }

    /// Leaves a sound table with one relay in it.
    func fill() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        try await table.save(relay)
        try await table.close()
        home.close()
    }

    @Test func `everything is there after the node was ended and started again`() async throws {
        try await fill()
        let home = try folder.home()
        let (table, warnings) = try IPTable.open(in: home, now: .someday)
        #expect(warnings == [])
        #expect(try await table.joinedRelays() == [relay])
    }

    @Test func `everything is there after kill -9`() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        try await table.save(relay)
        // What a killed process leaves behind is what lies on the disk now: nothing was closed or written back.
        let killed = TestFolder()
        #expect(folder.names.contains("ip_table.sqlite-wal"))
        for name in folder.names where name.hasPrefix("ip_table") {
            try FileManager.default.copyItem(atPath: folder.file(name), toPath: killed.file(name))
        }
        let (again, warnings) = try IPTable.open(in: try killed.home(), now: .someday)
        #expect(warnings == [])
        #expect(try await again.joinedRelays() == [relay])
        _ = table
    }

    @Test func `a table that is opened again without having been closed has everything`() async throws {
        let home = try folder.home()
        let first = try IPTable.open(in: home, now: .someday).table
        try await first.save(relay)
        home.close()
        let again = try IPTable.open(in: try folder.home(), now: .someday).table
        #expect(try await again.joinedRelays() == [relay])
        _ = first
    }

    enum Damage: String, CaseIterable, Sendable {
        case garbage, truncated, overwrittenPage, folder, headerOnly, emptyWithJournal
    }

    @Test(arguments: Damage.allCases)
    func `a damaged file is kept aside with its journal and a fresh one is begun`(damage: Damage) async throws {
        try await fill()
        switch damage {
        case .garbage: write(String(repeating: "no database ", count: 2_000), to: path)
        case .truncated: truncate(path, 4_096 * 3)
        case .overwrittenPage: overwrite(at: 4_096, count: 4_096 * 4)
        case .folder:
            try FileManager.default.removeItem(atPath: path)
            mkdir(path, 0o700)
        case .headerOnly: truncate(path, 50)
        case .emptyWithJournal:
            truncate(path, 0)
            write("journal", to: path + "-wal")
        }

        let (table, warnings) = try IPTable.open(in: try folder.home(), now: .someday)
        let aside = path + ".damaged-1900000000"
        #expect(warnings.map(\.path) == [path])
        #expect(warnings.map(\.movedTo) == [aside])
        #expect(warnings.allSatisfy { $0.description.contains(aside) && !$0.reason.isEmpty })
        #expect(warnings.allSatisfy { !$0.description.contains("\n") }, "one line for the log")
        #expect(folder.names.contains("ip_table.sqlite.damaged-1900000000"))
        if damage == .emptyWithJournal { #expect(bytes(of: aside + "-wal") == Array("journal".utf8)) }
        #expect(try await table.joinedRelays() == [])
        try await table.save(relay)
        #expect(try await table.joinedRelays() == [relay])
    }

    func overwrite(at offset: Int, count: Int) {
        let descriptor = open(path, O_WRONLY)
        defer { close(descriptor) }
        let noise = [UInt8](repeating: 0xa5, count: count)
        pwrite(descriptor, noise, count, offset)
    }

    @Test func `what was put aside before is never overwritten`() throws {
        write("first", to: path + ".damaged-1900000000")
        for number in 2...4 {
            write("damage \(number)", to: path)
            let home = try folder.home()
            let (_, warnings) = try IPTable.open(in: home, now: .someday)
            #expect(warnings.map(\.movedTo) == [path + ".damaged-1900000000-\(number)"])
            #expect(bytes(of: path + ".damaged-1900000000-\(number)") == Array("damage \(number)".utf8))
            home.close()
        }
        #expect(bytes(of: path + ".damaged-1900000000") == Array("first".utf8))
    }

    @Test func `an empty file is an empty table`() async throws {
        write("", to: path)
        let (table, warnings) = try IPTable.open(in: try folder.home(), now: .someday)
        #expect(warnings == [])
        #expect(try await table.nodes() == [])
    }

    @Test(.enabled(if: Ran.isInstalled("sqlite3", "--version"), "needs the command sqlite3"))
    func `the table of a newer p2prc is refused and left alone`() async throws {
        try await fill()
        #expect(try Ran(["sqlite3", path, "INSERT INTO grdb_migrations VALUES ('9 from the future')"]).status == 0)
        let home = try folder.home()
        let error = #expect(throws: StorageError.self) { try IPTable.open(in: home, now: .someday) }
        #expect(error?.kind == .newer)
        #expect(folder.names.allSatisfy { !$0.contains("damaged") })
    }

    @Test(.enabled(if: Ran.isInstalled("sqlite3", "--version"), "needs the command sqlite3"))
    func `a table from before accounts, filters, told mappings and names is brought up to date, whole`() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        var lease = Lease(
            key: .number(1), mapping: MappingID(value: 1), ports: PortRange(first: 7, count: 1)!, protocols: .tcp,
            peerName: "p", target: "t", expires: .someday)
        lease.account = .token(id: "t")
        var wish = MappingWish(
            id: MappingID(value: 2), target: .serverPort, protocols: .tcp, ports: .any(count: 1),
            allow: [try Network("10.0.0.0/8")], name: "web")
        wish.announcedAs = "web"
        try await table.save(lease)
        try await table.save(wish)
        let change = Retirement(former: .number(1), next: .number(2), account: .token(id: "t"), hadPossessions: false)
        try await table.save(RetiredKey(change, learnt: .someday))
        try await table.close()
        let back = """
            ALTER TABLE lease DROP COLUMN account; ALTER TABLE mapping_wish DROP COLUMN allow;
            ALTER TABLE mapping_wish DROP COLUMN deny; ALTER TABLE mapping_wish DROP COLUMN tell;
            ALTER TABLE mapping_wish DROP COLUMN name; ALTER TABLE retired_key DROP COLUMN account;
            ALTER TABLE retired_key DROP COLUMN possessions;
            DELETE FROM grdb_migrations
                WHERE identifier IN
                    ('3 accounts and filters', '7 told mappings', 'mapping names', 'accounts of retired keys');
            """
        #expect(try Ran(["sqlite3", path, back]).status == 0)
        let (again, warnings) = try IPTable.open(in: home, now: .someday)
        #expect(warnings == [])
        var (oldLease, oldWish) = (lease, wish)
        oldLease.account = nil
        oldWish.allow = []
        oldWish.announcedAs = ""
        oldWish.name = ""
        #expect(try await again.leases() == [oldLease])
        #expect(try await again.wishes() == [oldWish])
        let oldChange = Retirement(former: .number(1), next: .number(2), account: nil, hadPossessions: true)
        #expect(try await again.retiredKeys() == [RetiredKey(oldChange, learnt: .someday)])
    }

    @Test func `a table can be looked at while a node runs with it, and not written`() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        try await table.save(relay)
        let seen = try IPTable.inspect(try Home.inspect(at: folder.path))
        #expect(try await seen.joinedRelays() == [relay])
        try await table.removeJoinedRelay(relay.address)
        #expect(try await seen.joinedRelays() == [])
        let error = await #expect(throws: StorageError.self) { try await seen.save(relay) }
        #expect(error?.kind == .notHeld)
    }

    @Test func `looking at a table repairs nothing`() async throws {
        let paths = try Home.inspect(at: folder.path)
        #expect(throws: StorageError.self) { try IPTable.inspect(paths) }
        #expect(folder.names == [])
        write("garbage, and more of it than a header has; garbage, and more of it than a header has, again", to: path)
        let error = #expect(throws: StorageError.self) { try IPTable.inspect(paths) }
        #expect(error?.kind == .damaged)
        #expect(folder.names == ["ip_table.sqlite"])
    }

    @Test func `nothing is written once the home or the table is closed`() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        home.close()
        let error = await #expect(throws: StorageError.self) { try await table.save(relay) }
        #expect(error?.kind == .notHeld)
        #expect(try await table.joinedRelays() == [])
        try await table.close()
        try await table.close()
        let closed = await #expect(throws: StorageError.self) { try await table.joinedRelays() }
        #expect(closed?.kind == .notHeld)
        #expect(throws: StorageError.self) { try IPTable.open(in: home, now: .someday) }
    }

    @Test(.enabled(if: getuid() != 0, "root may write anything"))
    func `a table that may not be written is refused and not put aside`() async throws {
        try await fill()
        chmod(path, 0o400)
        let error = #expect(throws: StorageError.self) { try IPTable.open(in: try folder.home(), now: .someday) }
        #expect(error?.kind == .denied)
        #expect(folder.names.allSatisfy { !$0.contains("damaged") })
    }
}
