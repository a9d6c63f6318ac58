import Foundation
import PeerCore
import PeerStorage
import PeerWire
import Testing

@Suite struct ReceiptFolderTests {
    let folder = TestFolder()
    let home: Home
    let receipts: ReceiptFolder
    static let relay = NodeIdentity(seed: [UInt8](repeating: 1, count: 32))!
    static let peer = NodeIdentity(seed: [UInt8](repeating: 2, count: 32))!

    init() throws {
        home = try folder.home()
        receipts = try ReceiptFolder.open(in: home)
    }

    static func receipt(
        _ mapping: UInt64 = 7, port: UInt16 = 30_000, relay: NodeIdentity = relay, signer: NodeIdentity = peer
    ) -> Receipt {
        Receipt.Terms(
            between: .init(relay: relay.key, peer: peer.key), mapping: MappingID(value: mapping), protocols: .tcp,
            host: "relay.example", ports: PortRange(first: port, count: 1)!, during: .init(issued: 0, expires: 60),
            limits: .init())!
            .signed(byRelay: relay).countersigned(byPeer: signer)
    }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: receipts.path)) ?? []).sorted()
    }

    @Test func `a receipt is a file of its own, and the next one takes its place`() async throws {
        try await receipts.save(Self.receipt())
        try await receipts.save(Self.receipt(port: 30_001))
        let file = receipts.file(relay: Self.relay.key, mapping: MappingID(value: 7))
        #expect(names == ["\(Self.relay.key.short)-0000000000000007.receipt"])
        #expect(file == "\(receipts.path)/\(names[0])")
        #expect(try ReceiptFolder.read(file) == Self.receipt(port: 30_001).bytes)
        #expect(mode(of: file) == 0o600 && mode(of: receipts.path) == 0o700)
    }

    @Test func `one that proves nothing is not kept`() async throws {
        let error = await #expect(throws: StorageError.self) {
            try await receipts.save(Self.receipt(signer: Self.relay))
        }
        #expect(error?.kind == .invalid)
        #expect(names == [])
    }

    @Test func `it goes with its mapping, at one relay or at all`() async throws {
        let other = NodeIdentity(seed: [UInt8](repeating: 3, count: 32))!
        for mapping: UInt64 in [7, 8] {
            try await receipts.save(Self.receipt(mapping))
            try await receipts.save(Self.receipt(mapping, relay: other))
        }
        try await receipts.remove(relay: other.key, mapping: MappingID(value: 7))
        try await receipts.remove(relay: other.key, mapping: MappingID(value: 7))
        #expect(names.count == 3)
        try await receipts.removeAll(of: MappingID(value: 8))
        #expect(names == ["\(Self.relay.key.short)-0000000000000007.receipt"])
    }

    @Test func `their number is bounded, over a restart too, and what is there may still be replaced`() async throws {
        for mapping in 0..<UInt64(ReceiptFolder.limit - 1) {
            write("", to: "\(receipts.path)/\(Self.relay.key.short)-\(MappingID(value: mapping)).receipt")
        }
        write("not ours", to: "\(receipts.path)/notes.txt")
        let again = try ReceiptFolder.open(in: home)
        try await again.save(Self.receipt(.max))
        let error = await #expect(throws: StorageError.self) { try await again.save(Self.receipt(.max - 1)) }
        #expect(error?.kind == .full)
        try await again.save(Self.receipt(0))
        try await again.removeAll(of: MappingID(value: 1))
        try await again.save(Self.receipt(.max - 1))
        #expect(names.contains("notes.txt"))
    }

    @Test func `what a crash left half written is cleared away`() throws {
        write("half", to: "\(receipts.path)/.\(Self.relay.key.short)-0000000000000007.receipt.ab.tmp")
        _ = try ReceiptFolder.open(in: home)
        #expect(names == [])
    }

    @Test func `a missing file and one that is none are named`() throws {
        let error = #expect(throws: StorageError.self) { try ReceiptFolder.read(folder.file("no.receipt")) }
        #expect(error?.kind == .missing && error?.description.contains("no.receipt") == true)
        #expect(throws: StorageError.self) { try ReceiptFolder.read(folder.path) }
        write("", to: home.paths.folder + "/in-the-way")
        #expect(try ReceiptFolder.read(folder.file("in-the-way")) == [])
    }

    @Test func `nothing is written without the home's lock`() async throws {
        home.close()
        let error = await #expect(throws: StorageError.self) { try await receipts.save(Self.receipt()) }
        #expect(error?.kind == .notHeld)
        await #expect(throws: StorageError.self) { try await receipts.removeAll(of: MappingID(value: 7)) }
        #expect(throws: StorageError.self) { try ReceiptFolder.open(in: home) }
    }
}
