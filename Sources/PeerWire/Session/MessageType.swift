/// The types of a session's frames, from either end.
enum MessageType: UInt8 {
    // 01 to 03 were a handshake of sessions without encryption, which are answered with `encryptionRequired`.
    case welcome = 0x04, close, hello, membership, introduction, keyHistoryWanted, keyHistory
    case ping = 0x10, pong
    case request = 0x20, offer, commit, decline, active, refusal, release, released, report
    case receipt = 0x29, receiptSigned
    case channelsWanted = 0x30
    case draining = 0x32
    case meshKeyRenewed = 0x34
    case tokenRenewed = 0x36, tokenJudged
    case checkWanted = 0x38, checkDone
    case datagramsMissed = 0x3a

    /// Types from here on must be understood; a reader that does not know one gives up. Others are skipped.
    private static let requiredTypes: UInt8 = 0x80

    /// `nil` for a type that this version does not know and may skip.
    init?(of frame: Frame) throws(WireError) {
        guard let type = MessageType(rawValue: frame.type) else {
            guard frame.type < Self.requiredTypes else {
                throw WireError(.unknownRequiredMessage, "message type \(frame.type) is not known here")
            }
            return nil
        }
        self = type
    }
}

/// What both ends say alike.
enum CommonMessage {
    case close(CloseReason, String)
    case ping(UInt64)
    case pong(UInt64)

    var frame: Frame {
        var fields = FieldWriter()
        let type: MessageType
        switch self {
        case .close(let reason, let detail):
            type = .close
            fields.put(1, reason.rawValue)
            fields.put(2, detail)
        case .ping(let number):
            type = .ping
            fields.put(1, number)
        case .pong(let number):
            type = .pong
            fields.put(1, number)
        }
        return Frame(type: type.rawValue, payload: fields.bytes)
    }

    /// - Parameter type: one of these three.
    init(_ type: MessageType, _ fields: FieldReader) throws(WireError) {
        switch type {
        case .ping: self = .ping(try fields.number(1, UInt64.self))
        case .pong: self = .pong(try fields.number(1, UInt64.self))
        default: self = .close(try fields.known(CloseReason.init, 1), try fields.text(2))
        }
    }
}
