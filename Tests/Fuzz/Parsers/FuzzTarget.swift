/// One parser of what comes from outside, and what must hold whatever comes: found out by libFuzzer (scripts/fuzz) and
/// by the seeded mutations of `FuzzTests`. The makers in `FuzzTarget+Makers.swift` hold the properties.
public struct FuzzTarget: Sendable, CustomStringConvertible {
    public enum Outcome: Equatable, Sendable {
        case refused
        case accepted
        /// A property does not hold; which, and where.
        case flawed(String)
    }

    /// Also the name of its corpus, `Tests/Fuzz/Corpus/<name>.txt`.
    public let name: String
    /// Longer inputs, in bytes, reach nothing new.
    public let longestInput: Int
    public let judge: @Sendable (_ input: [UInt8]) -> Outcome

    public init(_ name: String, longestInput: Int, judge: @escaping @Sendable ([UInt8]) -> Outcome) {
        self.name = name
        self.longestInput = longestInput
        self.judge = judge
    }

    public var description: String { name }
}

/// The lines of a corpus: an input each, in hexadecimal; `#` begins a comment.
public struct Corpus {
    public struct Malformed: Error, CustomStringConvertible {
        public let description: String
    }

    public let inputs: [[UInt8]]

    public init(_ text: String, name: String) throws {
        var inputs: [[UInt8]] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let digits = line.prefix { $0 != "#" }.filter { $0 != " " }
            guard !digits.isEmpty else { continue }
            guard let bytes = Self.bytes(Array(digits.utf8)) else {
                throw Malformed(description: "\(name):\(index + 1) is no hexadecimal; write two digits a byte")
            }
            inputs.append(bytes)
        }
        self.inputs = inputs
    }

    /// Not the product's `Hex`: that one is under test here.
    static func bytes(_ digits: [UInt8]) -> [UInt8]? {
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            let pair = String(decoding: digits[index...(index + 1)], as: UTF8.self)
            guard let byte = UInt8(pair, radix: 16), !pair.hasPrefix("+") else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}
