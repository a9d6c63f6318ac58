internal import CLinux
import Glibc
internal import PeerCore

/// One end of a connection, non-blocking: plain TCP, a Unix socket, or TLS on a TCP socket.
///
/// Sockets reset on close unless `closeOrderly` is called: a process that dies, or an abort, must never look like
/// the clean end of a transfer.
public struct Stream: ~Copyable {
    /// What is between the socket and whoever uses the stream.
    enum Layer: ~Copyable {
        case none
        /// Freed with the stream.
        case openssl(TLSConnection)
        /// Of a data channel under TLS, after OpenSSL's handshake.
        case records(RecordStream)
    }

    // In this order it is two words, and each visitor has two streams at either end.
    private let layer: Layer
    private let descriptor: Descriptor

    enum Outcome {
        /// 0 of a read: TLS did as much as it may at once, for nothing, and there is more.
        case bytes(Int)
        /// Nothing now; epoll will tell.
        case wouldBlock
        /// The other end will send no more.
        case end
        case failed(SystemError)
    }

    public init(_ descriptor: consuming Descriptor) {
        layer = .none
        self.descriptor = descriptor
    }

    /// TLS on the socket of a plain stream, after its handshake.
    init(securing plain: consuming Stream, _ tls: consuming TLSConnection) {
        layer = .openssl(tls)
        descriptor = plain.descriptor
    }

    /// The same without OpenSSL's connection, for data channels.
    init(securing plain: consuming Stream, _ records: RecordStream) {
        layer = .records(records)
        descriptor = plain.descriptor
    }

    var fd: Int32 { descriptor.raw }
    /// Hands the descriptor to another owner, without TLS.
    consuming func releaseDescriptor() -> Int32 { descriptor.release() }
    /// How many descriptors this process has open at the least: the system gives out the lowest that is free.
    public var openDescriptors: Int { Int(fd) + 1 }
    var isTLS: Bool {
        // Each by itself: the compiler has no other pattern yet for what cannot be copied.
        switch layer {
        case .none: false
        case .openssl: true
        case .records: true
        }
    }

    public var localAddress: SocketAddress? { .local(of: fd) }
    public var remoteAddress: SocketAddress? { .remote(of: fd) }

    // Inlined, and so is `write`: as calls they took 5 % of an exchange's instructions.
    @inline(__always)
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
        switch layer {
        case .none:
            let count = recv(fd, buffer.baseAddress, buffer.count, 0)
            if count > 0 { return .bytes(count) }
            return count == 0 ? .end : failure("recv")
        case .openssl(let tls): return tls.read(into: buffer)
        case .records(let records): return records.read(fd, into: buffer)
        }
    }

    /// After a read that did not fill its buffer: whether there is nothing more before the next event (epoll(7)). Under
    /// TLS more may have been read off the socket than was asked for, or a read may have done as much as it may at
    /// once.
    var isDrained: Bool {
        switch layer {
        case .none: true
        case .openssl(let tls): tls.isDrained
        case .records(let records): records.isDrained
        }
    }

    @inline(__always)
    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        switch layer {
        case .none:
            let count = send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            return count >= 0 ? .bytes(count) : failure("send")
        case .openssl(let tls): return tls.write(bytes)
        case .records(let records): return records.write(fd, bytes)
        }
    }

    /// Moves bytes from this stream into a pipe without copying them.
    func splice(into pipe: Int32, upTo count: Int) -> Outcome {
        let moved = clinux_splice(fd, pipe, UInt64(count))
        if moved > 0 { return .bytes(Int(moved)) }
        return moved == 0 ? .end : failure("splice")
    }

    func splice(outOf pipe: Int32, count: Int) -> Outcome {
        let moved = clinux_splice(pipe, fd, UInt64(count))
        return moved >= 0 ? .bytes(Int(moved)) : failure("splice")
    }

    /// The first byte that waits, left where it is; `nil` when there is none yet, or none will come.
    func peek() -> UInt8? {
        var byte: UInt8 = 0
        return recv(fd, &byte, 1, Int32(MSG_PEEK)) == 1 ? byte : nil
    }

    /// No more from this end; the other direction stays open. `false`: not yet, the socket takes nothing; try again
    /// when it does.
    func shutdownWrite() -> Bool {
        switch layer {
        case .none:
            shutdown(fd, Int32(SHUT_WR))
            return true
        case .openssl(let tls): return tls.shutdown()
        case .records(let records): return records.shutdown(fd)
        }
    }

    /// What is still on its way is delivered. For connections that ended in both directions.
    consuming func closeOrderly() { clinux_reset_on_close(fd, 0) }

    /// The error that a failed connection attempt left.
    var pendingError: Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    /// Milliseconds since the other end's system acknowledged anything, keepalive probes included.
    var millisecondsSinceAcknowledged: Int { Int(clinux_tcp_last_ack_ms(fd)) }

    /// Whether something was sent, and nothing acknowledged in `span` until now.
    func isUnacknowledged(for span: Instant.Span) -> Bool {
        clinux_tcp_unacked(fd) > 0 && Double(millisecondsSinceAcknowledged) >= span.milliseconds - Self.tick
    }

    /// Of the system's clock for acknowledgements, in milliseconds.
    private static let tick = 8.0

    /// Bytes that the socket takes at once, about; the other end's acknowledgements make room.
    var freeToSend: Int { Int(clinux_free_to_send(fd)) }

    /// Bytes that TLS holds on their way, read or to be sent.
    var held: Int {
        switch layer {
        case .none: 0
        case .openssl: 0
        case .records(let records): records.held
        }
    }

    private func failure(_ call: String) -> Outcome {
        let code = errno
        return code == EAGAIN || code == EINTR ? .wouldBlock : .failed(SystemError(call, code: code))
    }
}

extension Stream {
    /// Sends a few bytes on a stream that has room for them; `false` when it has not, or broke.
    public func sendAtOnce(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { all in
            if case .bytes(let count) = write(all) { return count == bytes.count }
            return false
        }
    }
}
