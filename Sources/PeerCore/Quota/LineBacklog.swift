/// Lines that wait for somebody to take them, at most so many bytes. What comes when it is full is lost, and where it
/// would have stood a line says how many.
public struct LineBacklog: Sendable {
    /// A longer line is cut off.
    public static let maximumLine = 2_048

    private let capacity: Int
    private let notice: @Sendable (_ lost: Int) -> String
    private var bytes: [UInt8] = []
    private var lost = 0

    /// - Parameters:
    ///   - capacity: in bytes.
    ///   - notice: the line about those that are lost.
    public init(capacity: Int, notice: @escaping @Sendable (_ lost: Int) -> String) {
        self.capacity = capacity
        self.notice = notice
    }

    public var isEmpty: Bool { bytes.isEmpty && lost == 0 }

    public mutating func add(_ line: String) {
        var text = Array(line.utf8)
        if text.count > Self.maximumLine {
            // Three bytes of …, one of the line's end, and not in the middle of a character.
            var end = Self.maximumLine - 4
            while text[end] & 0xC0 == 0x80 { end -= 1 }
            text = text[..<end] + Array("…".utf8)
        }
        // Once it was full, half of it has to be free: otherwise each second line would be about the others.
        guard bytes.count + text.count < (lost == 0 ? capacity : capacity / 2) else { return lost += 1 }
        tellLost()
        bytes += text + [UInt8(ascii: "\n")]
    }

    /// All that waits, the oldest first; they are the caller's now.
    public mutating func take() -> [UInt8] {
        if bytes.isEmpty { tellLost() }
        defer { bytes = [] }
        return bytes
    }

    private mutating func tellLost() {
        guard lost > 0 else { return }
        bytes += Array(notice(lost).utf8) + [UInt8(ascii: "\n")]
        lost = 0
    }
}
