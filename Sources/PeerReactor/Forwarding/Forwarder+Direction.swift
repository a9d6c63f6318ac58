extension Forwarder {
    /// One direction.
    struct Direction {
        /// Frames go this way: one of its ends is a channel that is used again, and nobody said `raw`.
        var isFramed = false
        var isReadable = false
        /// The allowance is used up; a timer is set for more.
        var isHeldBack = false
        var isWritable = false
        /// The source announced its end, or urgent bytes, at which a read stops: short reads no longer mean that
        /// there is nothing more.
        var distrustsShortReads = false
        var sawEnd = false
        var isDone = false
        var fullReads: UInt8 = 0
        var inPipe: Int32 = 0
        var spillStart: Int32 = 0
        /// Bytes that the sink is known to take, at the start and after it was asked (Forwarder+Room.swift).
        var room: Int32 = 65_536
        /// What of this direction is in `EventLoop.buffered`.
        var counted: Int32 = 0
        var pipe: PipePool.Pipe?
        var spill: [UInt8] = []
        var bytes: UInt64 = 0
    }
}
