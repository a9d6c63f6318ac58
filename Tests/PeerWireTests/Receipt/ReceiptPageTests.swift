import Foundation
import PeerWire
import TestSupport
import Testing

/// docs/receipts.md shows a receipt and how to check it with openssl alone: both are run from the page.
@Suite struct ReceiptPageTests {
    static let root = Vector.folder.appending(path: "../..").standardizedFileURL

    /// The blocks of the page between fences, in their order.
    static func blocks() throws -> [String] {
        let page = try String(contentsOf: root.appending(path: "docs/receipts.md"), encoding: .utf8)
        return page.split(separator: "\n```", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }
            .map { String($0.element.drop { $0 != "\n" }.dropFirst()) + "\n" }
    }

    static func example() throws -> [UInt8] {
        Array(try Data(contentsOf: Vector.folder.appending(path: "example.receipt")))
    }

    @Test func `the committed receipt is understood, and verifies`() throws {
        let receipt = try Receipt(Self.example())
        #expect(receipt.terms == Samples.terms)
        try receipt.verify()
    }

    @Test func `the page shows the committed receipt`() throws {
        #expect(try Self.blocks().first == String(decoding: Self.example(), as: UTF8.self))
    }

    @Test(.enabled(if: Self.hasTools, "needs openssl 3, sed, basenc and cmp"))
    func `openssl alone verifies a receipt, and refuses it with any one byte changed`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "p2prc-receipt-\(UInt64.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let blocks = try Self.blocks()
        #expect(blocks.count == 3)
        let commands = blocks[2]
        func isTaken(_ bytes: [UInt8]) throws -> Bool {
            try Data(bytes).write(to: folder.appending(path: "some.receipt"))
            return try Self.run("\(blocks[1])\(commands)", in: folder) == 0
        }
        let whole = try Self.example()
        #expect(try isTaken(whole))
        // Each run starts a dozen programs: every byte of the last lines, where spelling is loose in base64, and every
        // thirtieth of the others; P2PRC_LONG=1 takes all.
        let isLong = ProcessInfo.processInfo.environment["P2PRC_LONG"] == "1"
        let places = whole.indices.filter { isLong || $0 % 30 == 0 || $0 + 8 > whole.count }
        for index in places where try isTaken(whole.flipping(at: index)) {
            Issue.record("byte \(index) may be changed")
        }
        #expect(try !isTaken(whole + [UInt8(ascii: "\n")]))
        #expect(try !isTaken(Array(whole.dropLast())))
    }

    static let hasTools =
        (try? run("openssl version | grep -q '^OpenSSL 3' && basenc --version && cmp --version", in: root)) == 0

    static func run(_ script: String, in folder: URL) throws -> Int {
        try Ran(["sh", "-c", "cd \"$0\" || exit 125; \(script)", folder.path]).status
    }
}
