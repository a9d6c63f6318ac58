import Crypto
import Foundation
import PeerWire
import Testing

@testable import PeerReactor

/// `json/vectors/sealed_datagrams.json`: whole datagrams as they are on the wire. `P2PRC_VECTORS=print` prints the rows
/// that are not committed yet.
@Suite("Datagrams sealed before")
struct SealedDatagramVectorTests {
    private struct Row: Codable, Equatable {
        var name: String
        var hex: String
        var fields: [String: String]
    }

    /// What a row is made of.
    private struct Sample {
        var name: String
        var direction = DatagramSecret.Direction.toRelay
        var protection = DatagramSecret.Protection.encrypted
        var number = DatagramNumber(epoch: 0, count: 0)
        var frame = payload
    }

    private struct NoKey: Error {}

    private static let file = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../json/vectors/sealed_datagrams.json").standardizedFileURL
    private static let secret = [UInt8](1...32)
    private static let channel: UInt32 = 0xa1b2_c3d1
    private static let payload = [1, 0, 0, 5, 0, 0, 1, 0, 2] + Array("hello".utf8)
    private static let later = DatagramNumber(epoch: 0x0102, count: 0x0304_0506_0708)

    private static let samples = [
        Sample(name: "to-relay"),
        Sample(name: "to-peer", direction: .toPeer),
        Sample(name: "later", number: later),
        Sample(name: "plain-to-relay", protection: .plain),
        Sample(name: "plain-to-peer", direction: .toPeer, protection: .plain, number: later),
        // As long as a probe may be at least.
        Sample(name: "probe", frame: [7, 0, 0, 0, 1, 0, 4, 0xb0] + [UInt8](repeating: 0, count: 15)),
        Sample(name: "empty", frame: []),
    ]

    private static func key(_ sample: Sample) throws -> DatagramSecret.Key {
        let secrets = try #require(SessionSecrets(export: { _ in secret }))
        return secrets.datagramSecret.key(sample.direction, sample.protection, epoch: sample.number.epoch)
    }

    private static func sealed(_ sample: Sample) throws -> [UInt8] {
        guard let key = DatagramKey(try key(sample), sample.protection, seals: true) else { throw NoKey() }
        var bytes = [UInt8](repeating: 0, count: DatagramHeader.byteCount) + sample.frame
        bytes += [UInt8](repeating: 0, count: DatagramHeader.tagByteCount)
        let isSealed = bytes.withUnsafeMutableBytes { place -> Bool in
            guard let base = place.baseAddress else { return false }
            DatagramHeader(channel: channel, number: sample.number).write(to: base)
            return key.seal(base, frame: sample.frame.count, sample.number)
        }
        try #require(isSealed)
        return bytes
    }

    private static func made() throws -> [Row] {
        try samples.map { sample in
            Row(
                name: sample.name, hex: Hex.encode(try sealed(sample)),
                fields: [
                    "secret": Hex.encode(secret), "direction": "\(sample.direction) (\(sample.direction.rawValue))",
                    "protection": "\(sample.protection) (\(sample.protection.rawValue))", "channel": "\(channel)",
                    "epoch": "\(sample.number.epoch)", "count": "\(sample.number.count)",
                    "frame": Hex.encode(sample.frame),
                ])
        }
    }

    private static func committed() throws -> [Row] {
        try JSONDecoder().decode([Row].self, from: Data(contentsOf: file))
    }

    @Test("are printed where they are not committed yet", .enabled(if: isPrinting))
    func print() throws {
        let known = Set(((try? Self.committed()) ?? []).map(\.name))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let rows = try Self.made().filter { !known.contains($0.name) }
        Swift.print("=== json/vectors/sealed_datagrams.json")
        Swift.print(String(decoding: try encoder.encode(rows), as: UTF8.self))
    }

    private static let isPrinting = ProcessInfo.processInfo.environment["P2PRC_VECTORS"] == "print"

    @Test("are sealed the same")
    func same() throws { #expect(try Self.committed() == Self.made()) }

    @Test("are opened, and not when one bit is another one")
    func opened() throws {
        for (row, sample) in zip(try Self.committed(), Self.samples) {
            guard let key = DatagramKey(try Self.key(sample), sample.protection, seals: false) else { throw NoKey() }
            var bytes = try #require(Hex.decode(row.hex))
            var changed = bytes
            changed[bytes.count - 1] ^= 1
            let header = bytes.withUnsafeBytes { DatagramHeader(reading: $0) }
            #expect(header == DatagramHeader(channel: Self.channel, number: sample.number), "\(row.name)")
            #expect(bytes.withUnsafeMutableBytes { key.open($0, sample.number).map { Array($0) } } == sample.frame)
            #expect(changed.withUnsafeMutableBytes { key.open($0, sample.number).map { Array($0) } } == nil)
        }
    }

    @Test("are what another library makes of keys that it derives itself")
    func foreign() throws {
        for (row, sample) in zip(try Self.committed(), Self.samples) {
            let bytes = try #require(Hex.decode(row.hex))
            let epoch = withUnsafeBytes(of: sample.number.epoch.bigEndian) { Array($0) }
            let info = Array("p2prc datagram".utf8) + [sample.protection.rawValue, sample.direction.rawValue] + epoch
            let made = HKDF<SHA256>.expand(
                pseudoRandomKey: SymmetricKey(data: Self.secret), info: info, outputByteCount: 28
            ).withUnsafeBytes { Array($0) }
            var nonce = Array(made[16...])
            for (place, byte) in bytes[4..<12].enumerated() { nonce[4 + place] ^= byte }
            let isPlain = sample.protection == .plain
            let box = try AES.GCM.seal(
                isPlain ? [] : sample.frame, using: SymmetricKey(data: made[..<16]), nonce: AES.GCM.Nonce(data: nonce),
                authenticating: Array(bytes[..<12]) + (isPlain ? sample.frame : []))
            let rest = (isPlain ? sample.frame : Array(box.ciphertext)) + Array(box.tag)
            #expect(Array(bytes[12...]) == rest, "\(row.name)")
        }
    }
}
