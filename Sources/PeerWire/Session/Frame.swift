/// One unit of a session: a type, and a payload of fields.
///
/// ```
/// type (1) | 00 | length of the payload (2) | payload
/// ```
public struct Frame: Hashable, Sendable {
    public static let headerByteCount = 4
    /// The longest payload that is sent or accepted. Longer is a breach of protocol.
    public static let maximumPayload = 16_384

    public var type: UInt8
    public var payload: [UInt8]

    public init(type: UInt8, payload: [UInt8]) {
        self.type = type
        self.payload = payload
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(type)
        writer.write(UInt8(0))
        writer.write(UInt16(payload.count))
        writer.write(payload)
        return writer.bytes
    }
}

/// Cuts a stream of bytes into frames, however the bytes arrive.
public struct FrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    public init() {}

    /// Bytes kept until the rest of their frame arrives; never more than one frame and what was appended with it.
    public var bufferedByteCount: Int { buffer.count - start }

    public mutating func append(_ bytes: some Sequence<UInt8>) {
        if start > 0, start == buffer.count || start > Frame.maximumPayload {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole frame, or `nil` when more bytes are needed. Call it until it returns `nil`.
    public mutating func next() throws(WireError) -> Frame? {
        let available = buffer.count - start
        guard available >= Frame.headerByteCount else { return nil }
        let length = Int(buffer[start + 2]) << 8 | Int(buffer[start + 3])
        guard buffer[start + 1] == 0 else { throw WireError(.malformedFrame, "second byte of a frame is not zero") }
        guard length <= Frame.maximumPayload else {
            throw WireError(.frameTooLong, "a frame of \(length) bytes; \(Frame.maximumPayload) is the longest")
        }
        guard available >= Frame.headerByteCount + length else { return nil }
        let body = start + Frame.headerByteCount
        let frame = Frame(type: buffer[start], payload: Array(buffer[body..<(body + length)]))
        start = body + length
        return frame
    }
}

/// Why bytes from the other end were not accepted. Equal by code alone, so that tests can build the expected one.
public struct WireError: Error, Hashable, CustomStringConvertible {
    public enum Code: String, Sendable {
        case malformedFrame, frameTooLong, missingField, malformedField, unknownRequiredMessage, wrongDirection
    }

    public let code: Code
    public let detail: String

    public init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    public static func == (left: WireError, right: WireError) -> Bool { left.code == right.code }
    public func hash(into hasher: inout Hasher) { hasher.combine(code) }
    public var description: String { "breach of protocol: \(detail)" }
}
