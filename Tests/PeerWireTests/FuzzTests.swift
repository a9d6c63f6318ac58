import Foundation
import FuzzParsers
import Testing

/// Every parser with what is committed for it, and with mutations of that: the same inputs every time; `P2PRC_SEED=7
/// swift test --filter FuzzTests` tries others, `P2PRC_FUZZ_SECONDS` goes on for so long with each parser.
/// `scripts/fuzz` does more, with libFuzzer.
@Suite struct FuzzTests {
    static let inputs = 10_000
    static let seconds = ProcessInfo.processInfo.environment["P2PRC_FUZZ_SECONDS"].flatMap { Double($0) }

    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../Fuzz/Corpus").standardizedFileURL

    static func corpus(_ target: FuzzTarget) throws -> [[UInt8]] {
        let file = "\(target.name).txt"
        let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
        return try Corpus(text, name: "Tests/Fuzz/Corpus/\(file)").inputs
    }

    static func isFlawed(_ target: FuzzTarget, _ input: [UInt8], _ accepted: inout Int) -> Bool {
        switch target.judge(input) {
        case .accepted: accepted += 1
        case .refused: break
        case .flawed(let what):
            let hex = input.map { String(format: "%02x", $0) }.joined()
            Issue.record("\(target): \(what)\nonce mended, add it to Tests/Fuzz/Corpus/\(target).txt:\n\(hex)")
            return true
        }
        return false
    }

    @Test func `every parser has its corpus and every corpus its parser`() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(files) == Set(FuzzTarget.all.map { "\($0.name).txt" }))
        #expect(Set(FuzzTarget.all.map(\.name)).count == FuzzTarget.all.count)
    }

    @Test(arguments: FuzzTarget.all) func `what is committed for a parser is taken rightly`(
        target: FuzzTarget
    ) throws {
        var accepted = 0
        let inputs = try Self.corpus(target)
        for input in inputs where Self.isFlawed(target, input, &accepted) { return }
        #expect(accepted > 0, "nothing in the corpus is understood")
        #expect(accepted < inputs.count, "nothing in the corpus is refused")
        #expect(inputs.allSatisfy { $0.count <= target.longestInput })
        #expect(Set(inputs).count == inputs.count, "an input stands there twice")
    }

    @Test func `every vector of a message is in the corpus of sessions`() throws {
        let session = try #require(FuzzTarget.all.first { $0.name == "session" })
        let known = Set(try Self.corpus(session).map { $0.map { String(format: "%02x", $0) }.joined() })
        for vector in try Vector.committed("messages.json") where !known.contains(vector.hex) {
            Issue.record("add this line to Tests/Fuzz/Corpus/session.txt:\n\(vector.hex)  # \(vector.name)")
        }
    }

    @Test(arguments: FuzzTarget.all) func `mutated input is refused, or means the same when it is written again`(
        target: FuzzTarget
    ) throws {
        let originals = try Self.corpus(target)
        let end = Self.seconds.map { ContinuousClock.now + .seconds($0) }
        var accepted = 0
        var index: UInt64 = 0
        while end.map({ ContinuousClock.now < $0 }) ?? (index < Self.inputs) {
            var random = TestGenerator(seed: TestGenerator.seed &* 1_000_003 &+ index)
            index += 1
            if Self.isFlawed(target, Self.mutated(originals, using: &random), &accepted) { return }
        }
        // Otherwise the mutations are so wild that nothing behind the first check is reached.
        #expect(accepted > 20)
    }

    static func mutated(_ originals: [[UInt8]], using random: inout TestGenerator) -> [UInt8] {
        func any(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
        var bytes = originals[any(originals.count)]
        for _ in 0..<any(4) {
            guard !bytes.isEmpty else { return bytes }
            let index = any(bytes.count)
            switch any(8) {
            case 0: bytes[index] ^= 1 << UInt8(any(8))
            case 1: bytes[index] = UInt8(any(256))
            case 2: bytes.insert(UInt8(any(256)), at: index)
            case 3: bytes.remove(at: index)
            case 4: bytes.removeSubrange(index...)
            case 5: bytes[index] = [0, 1, 0x7f, 0x80, 0xff][any(5)]
            case 6: bytes += originals[any(originals.count)].prefix(64)
            default: bytes.swapAt(index, any(bytes.count))
            }
        }
        return bytes
    }
}

/// The properties have teeth: parsers with the faults that they are there for are found out.
@Suite struct FuzzTargetTests {
    static func isFlawed(_ target: FuzzTarget, _ input: [UInt8]) -> Bool {
        if case .flawed = target.judge(input) { true } else { false }
    }

    @Test func `a parser that passes over a byte is found out, unless that is its format`() {
        let parse: @Sendable ([UInt8]) -> UInt8? = { $0.count == 2 ? $0[0] : nil }
        let write: @Sendable (UInt8) -> [UInt8] = { [$0, 0] }
        #expect(Self.isFlawed(.whole("x", parse: parse, write: write), [1, 7]))
        #expect(FuzzTarget.whole("x", parse: parse, write: write, meaning: { [$0[0], 0] }).judge([1, 7]) == .accepted)
        #expect(FuzzTarget.whole("x", parse: parse, write: write).judge([1]) == .refused)
    }

    @Test func `a value that comes back as another is found out`() {
        #expect(Self.isFlawed(.whole("x", parse: { $0.first }, write: { [$0 &+ 1] }), [1]))
        let number = FuzzTarget.text("x", parse: { UInt64($0, radix: 16) }, write: { "\($0)" }, meaning: { _ in nil })
        #expect(Self.isFlawed(number, Array("10".utf8)))
    }

    @Test func `a text that is read from a second spelling is found out`() {
        // As with `UInt64("+1")`.
        let number = FuzzTarget.text("x", parse: { UInt64($0) }, write: { "\($0)" }, meaning: { $0 })
        #expect(Self.isFlawed(number, Array("+1".utf8)))
        #expect(number.judge(Array("1".utf8)) == .accepted)
        #expect(number.judge([0xff]) == .refused)
    }

    @Test func `a beginning that is judged one way and then another is found out`() {
        let wavering: [@Sendable ([UInt8]) -> FuzzTarget.Reading] = [
            { $0.count == 1 ? .foreign : .incomplete },
            { $0.count == 1 ? .settled($0) : .incomplete },
            { $0.isEmpty ? .incomplete : .settled($0) },
            { $0.count < 2 ? .incomplete : .settled([9]) },
            { _ in .incomplete },
        ]
        for read in wavering { #expect(Self.isFlawed(.opening("x", limit: 4, read: read), [1, 2, 3, 4])) }
    }

    /// Numbers that end with a zero byte; `once` reads one number for each arrival, as a careless parser does.
    private static func numbers(once: Bool, limit: Int) -> FuzzTarget {
        .stream("x", buffer: limit, longestInput: 64) { chunks in
            var decoded = FuzzTarget.Decoded<[UInt8]>()
            var rest: [UInt8] = []
            for chunk in chunks {
                rest += chunk
                while let end = rest.firstIndex(of: 0) {
                    decoded.events.append(Array(rest[..<end]))
                    rest.removeSubrange(...end)
                    if once { break }
                }
                decoded.largestBuffer = max(decoded.largestBuffer, rest.count)
            }
            return decoded
        } rewrite: {
            $0 + [0]
        }
    }

    @Test func `a decoder that stalls when two arrive together, or keeps too much, is found out`() {
        #expect(Self.numbers(once: false, limit: 4).judge([1, 0, 2, 0]) == .accepted)
        #expect(Self.isFlawed(Self.numbers(once: true, limit: 4), [1, 0, 2, 0]))
        #expect(Self.isFlawed(Self.numbers(once: false, limit: 4), [1, 2, 3, 4, 5, 6]))
    }

    @Test func `a line of a corpus that is no hexadecimal is named`() throws {
        #expect(try Corpus("# words\n\n00ff # more\n0a 0b\n", name: "x").inputs == [[0, 255], [10, 11]])
        for text in ["0", "0g", "+1"] {
            let error = #expect(throws: Corpus.Malformed.self) { try Corpus("00\n\(text)", name: "x.txt") }
            #expect(error?.description.hasPrefix("x.txt:2 ") == true)
        }
    }
}
