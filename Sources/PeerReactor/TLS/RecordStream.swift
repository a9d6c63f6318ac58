internal import COpenSSL
internal import CRecords
import Glibc

/// The records of a data channel on its socket, from the end of OpenSSL's handshake on: TLS 1.3 as before, with keys
/// out of the same handshake, but four records with one call, sealed from where the bytes are and opened to where they
/// go. OpenSSL's own connection is gone by then, with the tens of KiB that it holds.
///
/// What is read and not yet wanted, and what is sealed and not yet taken by the socket, waits here: never more than the
/// scratch holds, and nothing while a channel idles.
final class RecordStream {
    private static let scratchBytes = crecords_scratch_bytes
    /// Sealed and sent at once.
    private static let maximumBatch = crecords_batch * RecordKey.maximumText
    /// Whoever has room for so much gets all that one call brings.
    private static let ampleRead = 65_536
    /// Records in a row that bring nothing for whoever reads. More are somebody's game.
    private static let maximumFruitless = 32
    /// Opened in one read; what is left over has its turn later. One that brings nothing counts as so many.
    private static let maximumOpened = 256
    private static let fruitlessCost = 16
    /// The one message of a handshake that may come behind it: KeyUpdate, with or without a request for the same
    /// (RFC 8446, section 4.6.3).
    private static let keyUpdate: [UInt8] = [24, 0, 0, 1]
    private static let closeNotify: [UInt8] = [1, 0]

    // Unchecked: a stream belongs to one loop, and nothing here calls anybody who could come back to it.
    @exclusivity(unchecked) private var sealing: RecordKey
    @exclusivity(unchecked) private var opening: RecordKey
    /// Read off the socket: a part of a record, or records for which there was no room.
    @exclusivity(unchecked) private var unopened: [UInt8] = []
    /// The rest of an opened record, for whose reader had less room; what is before the offset is read.
    @exclusivity(unchecked) private var opened: [UInt8] = []
    @exclusivity(unchecked) private var openedStart = 0
    /// Sealed bytes that the socket has not taken yet, and how much text of the next write they are.
    @exclusivity(unchecked) private var unsent: [UInt8] = []
    @exclusivity(unchecked) private var unsentText = 0
    @exclusivity(unchecked) private var fruitless = 0
    /// How the other end's direction ended, for each read from now on.
    @exclusivity(unchecked) private var ending: Stream.Outcome?
    @exclusivity(unchecked) private var saidEnd = false
    @exclusivity(unchecked) private var owesKeyUpdate = false
    /// After a read that did not fill its buffer: whether an event tells of all that is still to be read.
    @exclusivity(unchecked) private(set) var isDrained = false

    /// Takes over from a connection whose handshake has just ended. `nil` when it was for something else.
    convenience init?(takingOver ssl: OpaquePointer) {
        var suite: UInt16 = 0
        let secrets = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * crecords_secret_bytes)
        defer {
            OPENSSL_cleanse(secrets, 2 * crecords_secret_bytes)
            secrets.deallocate()
        }
        let (own, other) = (secrets, secrets + crecords_secret_bytes)
        guard copenssl_take_over(ssl, &suite, own, other) else { return nil }
        self.init(suite: suite, own: own, other: other)
    }

    /// - Parameters:
    ///   - suite: as in `RecordKey`.
    ///   - own: the traffic secret of what this end sends, 32 bytes; copied.
    ///   - other: the same of what the other end sends.
    ///   - lifetime: how many records of this end are sealed with one key.
    init?(
        suite: UInt16, own: UnsafePointer<UInt8>, other: UnsafePointer<UInt8>, lifetime: UInt64 = RecordKey.lifetime
    ) {
        guard let sealing = RecordKey(suite: suite, secret: own, seals: true, lifetime: lifetime),
            let opening = RecordKey(suite: suite, secret: other, seals: false)
        else { return nil }
        self.sealing = sealing
        self.opening = opening
    }

    deinit { FreedMemory.noteClosed() }

    /// Empty when there is no memory.
    private static var scratch: UnsafeMutableRawBufferPointer {
        let start = crecords_scratch()
        return UnsafeMutableRawBufferPointer(start: start, count: start == nil ? 0 : scratchBytes)
    }

    private static func broken(_ call: String) -> Stream.Outcome {
        .failed(SystemError("TLS \(call)", code: EPROTO))
    }

    /// Bytes that wait here.
    var held: Int { unopened.count + opened.count + unsent.count }

    // MARK: Reading

    func read(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Stream.Outcome {
        isDrained = false
        if !opened.isEmpty { return .bytes(takeOpened(buffer)) }
        let scratch = Self.scratch
        guard !scratch.isEmpty else { return Self.broken("read") }
        // For whom has little room, one record at a time: the rest waits in the system and not here.
        let limit =
            buffer.count < Self.ampleRead
            ? min(scratch.count, max(buffer.count, RecordKey.maximumRecord)) : scratch.count
        while true {
            if let ending { return ending }
            var filled = unopened.count
            if filled > 0 {
                scratch.copyBytes(from: unopened)
                unopened = []
            }
            var isEmpty = false
            // Whole records are still there when there was no room for them.
            if Self.recordBytes(scratch[..<filled]).map({ $0 > filled }) ?? true {
                let room = limit - filled
                let count = recv(fd, scratch.baseAddress?.advanced(by: filled), room, 0)
                if count <= 0 {
                    let code = errno
                    unopened = Array(scratch[..<filled])
                    // Only a close_notify is an end. A connection that just stops may have been cut.
                    if count == 0 {
                        ending = Self.broken("read")
                    } else if code != EAGAIN && code != EINTR {
                        ending = .failed(SystemError("recv", code: code))
                    }
                    isDrained = true
                    return ending ?? .wouldBlock
                }
                // epoll(7): a short read empties the socket, and what comes after it is an event.
                isEmpty = count < room
                filled += count
            }
            let count = open(scratch[..<filled], into: buffer)
            isDrained = isEmpty && opened.isEmpty && ending == nil && (unopened.isEmpty || isPartOfRecord(unopened))
            if count > 0 { return .bytes(count) }
            // A part of a record alone: the other end's end may have come with it, in the event that is over.
            if isDrained, Self.hasNothing(fd) { return .wouldBlock }
        }
    }

    /// Whether nothing waits to be read, and neither an end nor an error.
    private static func hasNothing(_ fd: Int32) -> Bool {
        var byte: UInt8 = 0
        return recv(fd, &byte, 1, Int32(MSG_PEEK)) < 0 && errno == EAGAIN
    }

    /// Opens as many whole records as there is room for, and keeps the rest. How much text they brought.
    private func open(
        _ sealed: Slice<UnsafeMutableRawBufferPointer>, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        guard let target = buffer.baseAddress else { return 0 }
        let sealed = UnsafeRawBufferPointer(rebasing: sealed)
        var (at, count, left) = (0, 0, Self.maximumOpened)
        while ending == nil, left > 0 {
            guard let whole = Self.recordBytes(sealed[at...]) else {
                if sealed.count - at >= RecordKey.headerBytes { ending = Self.broken("read") }
                break
            }
            guard whole <= sealed.count - at else { break }
            let record = UnsafeRawBufferPointer(rebasing: sealed[at..<(at + whole)])
            if whole - RecordKey.overhead <= buffer.count - count {
                let some = openOne(record, into: target + count)
                count &+= some
                left &-= some == 0 ? Self.fruitlessCost : 1
            } else if count == 0 {
                opened = Array(unsafeUninitializedCapacity: whole - RecordKey.overhead) { room, used in
                    if let start = room.baseAddress { used = openOne(record, into: UnsafeMutableRawPointer(start)) }
                }
                count = takeOpened(buffer)
                left &-= Self.fruitlessCost
            } else {
                break
            }
            at += whole
        }
        if at < sealed.count { unopened = Array(sealed[at...]) }
        return count
    }

    /// How much text for the reader a record brings.
    private func openOne(_ record: UnsafeRawBufferPointer, into text: UnsafeMutableRawPointer) -> Int {
        guard let (content, count) = opening.open(record, into: text) else {
            ending = Self.broken("read")
            return 0
        }
        if content == .bytes, count > 0 {
            fruitless = 0
            return count
        }
        fruitless += 1
        if fruitless > Self.maximumFruitless { ending = Self.broken("read") }
        switch content {
        case .bytes: break
        case .alert:
            ending = count == 2 && text.load(fromByteOffset: 1, as: UInt8.self) == 0 ? .end : Self.broken("read")
        case .handshake:
            let message = UnsafeRawBufferPointer(start: text, count: count)
            guard count == 5, message.starts(with: Self.keyUpdate), message[4] <= 1, opening.update() else {
                ending = Self.broken("read")
                return 0
            }
            if message[4] == 1 { owesKeyUpdate = true }
        }
        return 0
    }

    private func takeOpened(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, opened.count - openedStart)
        buffer.copyBytes(from: opened[openedStart..<(openedStart + count)])
        openedStart += count
        if openedStart == opened.count {
            opened = []
            openedStart = 0
        }
        return count
    }

    private func isPartOfRecord(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in Self.recordBytes(bytes[...]).map { $0 > bytes.count } ?? true }
    }

    /// How long the record is that begins here; `nil` while its header is not there, or is none.
    private static func recordBytes<Bytes: RandomAccessCollection<UInt8>>(_ bytes: Bytes) -> Int? {
        guard bytes.count >= RecordKey.headerBytes else { return nil }
        let start = bytes.startIndex
        func byte(_ offset: Int) -> UInt8 { bytes[bytes.index(start, offsetBy: offset)] }
        guard byte(0) == RecordKey.Content.bytes.rawValue, byte(1) == 3, byte(2) == 3 else { return nil }
        let all = RecordKey.headerBytes + (Int(byte(3)) << 8 | Int(byte(4)))
        return all >= RecordKey.overhead && all <= RecordKey.maximumRecord ? all : nil
    }

    // MARK: Writing

    /// Bytes that did not go out must be offered again, the same ones first: their records are sealed already.
    func write(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Stream.Outcome {
        var written = 0
        if !unsent.isEmpty {
            guard unsentText <= bytes.count else { return Self.broken("write") }
            if let hindrance = flush(fd) { return hindrance }
            written = unsentText
            unsentText = 0
        }
        while written < bytes.count {
            let text = UnsafeRawBufferPointer(rebasing: bytes[written..<min(bytes.count, written + Self.maximumBatch)])
            var used = 0
            if sealing.isWorn || owesKeyUpdate, !updateKey(&used) { return Self.broken("write") }
            let start = used
            guard seal(text, &used) else { return Self.broken("write") }
            let put = send(fd, Self.scratch.baseAddress, used, Int32(MSG_NOSIGNAL))
            if put == used {
                written += text.count
                continue
            }
            if put < 0, errno != EAGAIN, errno != EINTR { return .failed(SystemError("send")) }
            // A socket that does not block is not interrupted: no event would tell that it may go on.
            assert(put >= 0 || errno == EAGAIN, "a call that does not block was interrupted")
            // All records but the last are of the full size, and that one did not go out.
            let gone = max(0, put - start) / (RecordKey.maximumText + RecordKey.overhead) * RecordKey.maximumText
            written += gone
            unsent = Array(Self.scratch[max(0, put)..<used])
            unsentText = text.count - gone
            break
        }
        return written > 0 || bytes.isEmpty ? .bytes(written) : .wouldBlock
    }

    /// Announces the end of what this side sends (close_notify); reading goes on. `false`: the socket takes nothing.
    func shutdown(_ fd: Int32) -> Bool {
        if !saidEnd {
            guard unsent.isEmpty || flush(fd) == nil else { return false }
            saidEnd = true
            unsent = Self.closeNotify.withUnsafeBytes { alert in
                var used = 0
                guard let start = Self.scratch.baseAddress, let count = sealing.seal(.alert, alert, to: start) else {
                    return []
                }
                used += count
                return Array(Self.scratch[..<used])
            }
        }
        guard !unsent.isEmpty, case .wouldBlock? = flush(fd) else { return true }
        return false
    }

    /// Sends what is sealed already. What stands in the way, or `nil`.
    private func flush(_ fd: Int32) -> Stream.Outcome? {
        let put = unsent.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if put == unsent.count {
            unsent = []
            return nil
        }
        if put < 0, errno != EAGAIN, errno != EINTR { return .failed(SystemError("send")) }
        if put > 0 { unsent.removeFirst(put) }
        return .wouldBlock
    }

    private func seal(_ text: UnsafeRawBufferPointer, _ used: inout Int) -> Bool {
        guard let start = Self.scratch.baseAddress else { return false }
        var at = 0
        while at < text.count {
            let piece = UnsafeRawBufferPointer(rebasing: text[at..<min(text.count, at + RecordKey.maximumText)])
            guard let count = sealing.seal(.bytes, piece, to: start + used) else { return false }
            used += count
            at += piece.count
        }
        return true
    }

    /// Says that another key follows, and goes on with it.
    private func updateKey(_ used: inout Int) -> Bool {
        owesKeyUpdate = false
        // Not requested: the other end's direction has its own count.
        let message = Self.keyUpdate + [0]
        guard let start = Self.scratch.baseAddress,
            let count = message.withUnsafeBytes({ sealing.seal(.handshake, $0, to: start + used) })
        else { return false }
        used += count
        return sealing.update()
    }
}
