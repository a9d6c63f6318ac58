public import PeerWire

/// A message of a session, whichever end says it, read as each of the two would. What both say counts as the peer's.
public enum EitherMessage: Hashable, Sendable {
    case peer(PeerMessage)
    case relay(RelayMessage)

    public init?(_ frame: Frame) throws(WireError) {
        do throws(WireError) {
            guard let message = try PeerMessage(frame) else { return nil }
            self = .peer(message)
        } catch {
            guard error.code == .wrongDirection, let message = try RelayMessage(frame) else { throw error }
            self = .relay(message)
        }
    }

    public var frame: Frame {
        switch self {
        case .peer(let message): message.frame
        case .relay(let message): message.frame
        }
    }

    public var bytes: [UInt8] { frame.bytes }
}
