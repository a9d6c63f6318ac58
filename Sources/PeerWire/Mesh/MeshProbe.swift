/// Brings the nonce of a dial-back to the node that asked for it, over the connection that was dialled.
///
/// ```
/// 05 | nonce (32)
/// ```
/// The answer has no body.
public struct NonceDelivery: Hashable, Sendable {
    public static let kind: UInt8 = 5

    public var nonce: [UInt8]

    public init(nonce: [UInt8]) { self.nonce = nonce }

    public var bytes: [UInt8] { [Self.kind] + nonce }

    /// `nil` unless these are the bytes of one.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 1 + DialBackRequest.nonceByteCount, bytes[0] == Self.kind else { return nil }
        self.init(nonce: Array(bytes.dropFirst()))
    }
}

/// Asks for nothing but an answer: a sample of the latency. With bytes in one direction it measures how fast they go.
///
/// ```
/// request: 06 | bytes wanted back (4) | bytes that are passed over
/// answer:  07 | load (1), in hundredths | as many bytes as were wanted
/// ```
public enum MeshProbe {
    public static let requestKind: UInt8 = 6
    public static let answerKind: UInt8 = 7
    /// Bytes of one answer behind its head; more are not sent.
    public static let maximumDownload = 1 << 20
    /// Bytes of one request behind its head: what the API takes.
    public static let maximumUpload = 60_000
    static let requestHead = 5
    public static let answerHead = 2

    public static func request(wanted: Int = 0, padding: Int = 0) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(requestKind)
        writer.write(UInt32(clamping: min(wanted, maximumDownload)))
        writer.write([UInt8](repeating: 0, count: min(padding, maximumUpload)))
        return writer.bytes
    }

    /// How many bytes are wanted back, and how many came; `nil` unless it is a request within the limits.
    public static func read(request bytes: [UInt8]) -> (wanted: Int, padding: Int)? {
        var reader = ByteReader(bytes)
        guard reader.read(UInt8.self) == requestKind, let wanted = reader.read(UInt32.self), wanted <= maximumDownload,
            bytes.count <= requestHead + maximumUpload
        else { return nil }
        return (Int(wanted), bytes.count - requestHead)
    }

    /// - Parameter load: 0 to 1.
    public static func answer(load: Double, wanted: Int) -> [UInt8] {
        let hundredths = UInt8(max(0, min(100, (load * 100).rounded())))
        return [answerKind, hundredths] + [UInt8](repeating: 0, count: min(max(0, wanted), maximumDownload))
    }

    /// The load, 0 to 1, and how many bytes came behind it; `nil` unless it is an answer.
    public static func read(answer bytes: [UInt8]) -> (load: Double, count: Int)? {
        guard bytes.count >= answerHead, bytes[0] == answerKind, bytes[1] <= 100 else { return nil }
        return (Double(bytes[1]) / 100, bytes.count - answerHead)
    }
}

/// Asks how the asker's end of the connection looks from the other: which address, and which port.
///
/// ```
/// request: 08
/// answer:  09 | address and port (7 or 19)
/// ```
public enum MeshMirror {
    public static let requestKind: UInt8 = 8
    public static let answerKind: UInt8 = 9
    public static let request: [UInt8] = [requestKind]

    public static func answer(_ address: NodeAddress) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(answerKind)
        writer.write(address)
        return writer.bytes
    }

    /// `nil` unless it is an answer.
    public static func read(answer bytes: [UInt8]) -> NodeAddress? {
        guard bytes.count <= 20 else { return nil }
        var reader = ByteReader(bytes)
        guard reader.read(UInt8.self) == answerKind, let address = reader.readAddress(), reader.isAtEnd else {
            return nil
        }
        return address
    }
}
