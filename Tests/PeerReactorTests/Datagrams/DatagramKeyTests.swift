import CRecords
import Crypto
import PeerWire
import Testing

@testable import PeerReactor

@Suite("The sealing of datagrams")
struct DatagramKeyTests {
    private static let libraries = [crecords_fastest, crecords_openssl]
    private static let secret = SessionSecrets(export: { _ in Array(1...32) })!.datagramSecret

    /// A class around the value, which cannot be copied.
    private final class Held {
        let key: DatagramKey
        let protection: DatagramSecret.Protection

        init(_ library: crecords_library, _ protection: DatagramSecret.Protection, seals: Bool) throws {
            let key = DatagramKeyTests.secret.key(.toRelay, protection, epoch: 1)
            guard let made = DatagramKey(key, protection, seals: seals, library: library) else {
                throw TimedOut(description: "no key")
            }
            self.key = made
            self.protection = protection
        }

        func seal(_ frame: [UInt8], _ number: DatagramNumber) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: DatagramHeader.byteCount) + frame
            bytes += [UInt8](repeating: 0, count: DatagramHeader.tagByteCount)
            let isSealed = bytes.withUnsafeMutableBytes { place in
                DatagramHeader(channel: 77, number: number).write(to: place.baseAddress!)
                return key.seal(place.baseAddress!, frame: frame.count, number)
            }
            return isSealed ? bytes : nil
        }

        func open(_ datagram: [UInt8], _ number: DatagramNumber) -> [UInt8]? {
            var bytes = datagram
            return bytes.withUnsafeMutableBytes { place in key.open(place, number).map { Array($0) } }
        }
    }

    private static let number = DatagramNumber(epoch: 1, count: 0x0102_0304_0506)
    private static func frame(_ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) } }

    @Test("is AES-128-GCM with the header authenticated, as another library does it", arguments: libraries)
    func foreign(_ library: crecords_library) throws {
        let sealing = try Held(library, .encrypted, seals: true)
        let material = Self.secret.key(.toRelay, .encrypted, epoch: 1)
        for size in [0, 1, 16, 64, 1_445, 65_000] {
            let datagram = try #require(sealing.seal(Self.frame(size), Self.number))
            var nonce = withUnsafeBytes(of: material.nonceHead.bigEndian) { Array($0) }
            nonce += withUnsafeBytes(of: (material.nonceTail ^ Self.number.rawValue).bigEndian) { Array($0) }
            let box = try AES.GCM.SealedBox(
                nonce: AES.GCM.Nonce(data: nonce), ciphertext: datagram[12..<(12 + size)], tag: datagram.suffix(16))
            let opened = try AES.GCM.open(
                box, using: SymmetricKey(data: material.bytes), authenticating: datagram.prefix(12))
            #expect(Array(opened) == Self.frame(size))
        }
    }

    @Test(
        "is the same whichever library does it, and each opens the other's",
        arguments: DatagramSecret.Protection.allCases)
    func alike(_ protection: DatagramSecret.Protection) throws {
        let sealing = try Self.libraries.map { try Held($0, protection, seals: true) }
        let opening = try Self.libraries.map { try Held($0, protection, seals: false) }
        for size in Array(0...70) + [1_023, 1_445, 16_384, 65_000] {
            let datagrams = sealing.map { $0.seal(Self.frame(size), Self.number) }
            #expect(datagrams[0] == datagrams[1], "\(size)")
            for key in opening {
                #expect(key.open(try #require(datagrams[0]), Self.number) == Self.frame(size), "\(size)")
            }
        }
    }

    @Test("tells every change, another number, and a datagram that was cut", arguments: libraries)
    func changed(_ library: crecords_library) throws {
        for protection in DatagramSecret.Protection.allCases {
            let sealing = try Held(library, protection, seals: true)
            let opening = try Held(library, protection, seals: false)
            let datagram = try #require(sealing.seal(Self.frame(21), Self.number))
            for index in datagram.indices {
                var changed = datagram
                changed[index] ^= 0x40
                #expect(opening.open(changed, Self.number) == nil, "byte \(index)")
            }
            #expect(opening.open(datagram, DatagramNumber(epoch: 1, count: 1)) == nil)
            for count in 0..<datagram.count { #expect(opening.open(Array(datagram.prefix(count)), Self.number) == nil) }
            #expect(opening.open(datagram, Self.number) == Self.frame(21))
        }
    }

    @Test("hides the text, or leaves it for everybody to read")
    func readable() throws {
        let text = Self.frame(100)
        let hidden = try #require(try Held(crecords_fastest, .encrypted, seals: true).seal(text, Self.number))
        let open = try #require(try Held(crecords_fastest, .plain, seals: true).seal(text, Self.number))
        #expect(Array(open[12..<112]) == text)
        #expect(Array(hidden[12..<112]) != text)
        #expect(try Held(crecords_fastest, .encrypted, seals: false).open(open, Self.number) == nil)
    }
}
