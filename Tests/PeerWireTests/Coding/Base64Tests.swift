import Foundation
import PeerWire
import Testing

@Suite struct Base64Tests {
    @Test func `what is written is what Foundation writes, for every length`() {
        for length in 0...66 {
            let bytes = [UInt8].counting(from: 200, length)
            let text = Data(bytes).base64EncodedString()
            #expect(Base64.encode(bytes) == text)
            #expect(Base64.decode(text) == bytes)
            let url = text.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            #expect(Base64.encode(bytes, .url) == url)
            #expect(Base64.decode(url, .url) == bytes)
        }
    }

    @Test(arguments: [
        "Zg", "Zg=", "Zg===", "Zh==", "Zg==\n", " Zg==", "Z=g=", "Zm9=", "Zm-v", "Zm_v", "Zg==Zg==", "Z", "====", "é",
    ]) func `another spelling is refused`(text: String) { #expect(Base64.decode(text) == nil) }

    @Test(arguments: ["Zg==", "Zh", "Zm+v", "Zm/v", "Z", "Zm9", "Zg\n"])
    func `another spelling for URLs is refused`(text: String) { #expect(Base64.decode(text, .url) == nil) }

    @Test func `with any one bit changed it is another content or none`() {
        let bytes = [UInt8].counting(from: 7, 64)
        let text = Array(Base64.encode(bytes).utf8)
        for index in text.indices {
            for bit in 0..<8 as Range<UInt8> {
                let changed = text.flipping(bit: bit, at: index)
                guard let readable = String(validating: changed, as: UTF8.self) else { continue }
                #expect(Base64.decode(readable) != bytes)
            }
        }
    }
}
