package import PeerCore
package import PeerReactor
package import PeerWire

/// One end's keys and numbers for the datagrams of a session. Belongs to its lane's loop.
package final class SealedDatagrams {
    private let secret: DatagramSecret
    private let protection: DatagramSecret.Protection
    private let direction: DatagramSecret.Direction
    private let channel: UInt32
    private var outgoing: OutgoingNumbers
    private var incoming = IncomingNumbers()
    // By epoch: that of what goes out, and of what comes in the one that counts with its neighbours.
    private var sealing: DatagramKey?
    private var sealingEpoch: UInt16 = 0
    private var opening: DatagramKey?
    private var openingEpoch: UInt16 = 0
    private var former: DatagramKey?
    private var next: DatagramKey?

    /// - Parameters:
    ///   - direction: of what this end sends.
    ///   - channel: what the relay calls the session.
    package init(
        _ secret: DatagramSecret, _ protection: DatagramSecret.Protection, sending direction: DatagramSecret.Direction,
        channel: UInt32, at now: Instant
    ) {
        self.secret = secret
        self.protection = protection
        self.direction = direction
        self.channel = channel
        outgoing = OutgoingNumbers(at: now)
        sealing = key(direction, 0, seals: true)
        opening = key(direction.opposite, 0, seals: false)
    }

    private func key(_ direction: DatagramSecret.Direction, _ epoch: UInt16, seals: Bool) -> DatagramKey? {
        DatagramKey(secret.key(direction, protection, epoch: epoch), protection, seals: seals)
    }

    /// Writes the header in front of a frame and seals it in its place.
    ///
    /// - Parameters:
    ///   - place: has the frame behind room for the header, and room for the tag behind that.
    ///   - count: of the frame.
    /// - Returns: how long the datagram is; `nil` when it cannot be sealed.
    package func seal(_ place: UnsafeMutableRawPointer, frame count: Int, at now: Instant) -> Int? {
        guard let number = outgoing.next(at: now) else { return nil }
        if number.epoch != sealingEpoch {
            sealingEpoch = number.epoch
            sealing = key(direction, number.epoch, seals: true)
        }
        DatagramHeader(channel: channel, number: number).write(to: place)
        guard sealing?.seal(place, frame: count, number) == true else { return nil }
        return count + DatagramHeader.overhead
    }

    /// Opens a datagram in its place.
    ///
    /// - Returns: its frame; `nil` when it does not count: nothing may come of it then but that `counts` tell.
    package func open(
        _ datagram: UnsafeMutableRawBufferPointer, _ number: DatagramNumber, at now: Instant,
        _ counts: inout DatagramCounts
    ) -> UnsafeMutableRawBufferPointer? {
        guard incoming.mayTake(number, at: now) else {
            counts.late += 1
            return nil
        }
        let frame: UnsafeMutableRawBufferPointer?
        if number.epoch == openingEpoch {
            frame = opening?.open(datagram, number)
        } else if number.epoch < openingEpoch {
            frame = former?.open(datagram, number)
        } else {
            // Made once for all who would like to have it made.
            if next == nil { next = key(direction.opposite, number.epoch, seals: false) }
            frame = next?.open(datagram, number)
        }
        guard let frame else {
            counts.forged += 1
            return nil
        }
        guard incoming.take(number, at: now) else { return nil }
        if number.epoch > openingEpoch {
            openingEpoch = number.epoch
            former = opening.take()
            opening = next.take()
        }
        return frame
    }
}
