public import PeerCore

/// Says how many bytes a `Forwarder` may read in a direction. One allowance may be shared by many forwarders, also of
/// several loops.
public protocol ByteAllowance: AnyObject, Sendable {
    /// As many as may be read now, at most `wanted`; 0: none yet.
    func take(upTo wanted: Int, _ isLeftToRight: Bool, at now: Instant) -> Int
    /// What was taken and not read.
    func putBack(_ count: Int, _ isLeftToRight: Bool)
    /// When it pays to ask again, after a 0.
    func ready(_ isLeftToRight: Bool) -> Instant
}
