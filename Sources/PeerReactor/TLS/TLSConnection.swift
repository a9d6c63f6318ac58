internal import COpenSSL

/// One TLS connection of OpenSSL, owned; freed without a word to the other end.
struct TLSConnection: ~Copyable {
    let ssl: OpaquePointer

    init(_ ssl: OpaquePointer) { self.ssl = ssl }

    deinit {
        SSL_free(ssl)
        FreedMemory.noteClosed()
    }

    /// Hands it to another owner.
    consuming func release() -> OpaquePointer {
        let ssl = self.ssl
        discard self
        return ssl
    }

    /// Fills `buffer` from as many records as there are.
    ///
    /// What ends the connection behind them is said by the next call: OpenSSL repeats itself.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Stream.Outcome {
        // OpenSSL judges a call by the thread's queue of errors; one that somebody left there would be taken for ours.
        ERR_clear_error()
        var count = 0
        var outcome = copenssl_done
        let bytes = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return copenssl_read(ssl, bytes, buffer.count, &count, &outcome)
            ? .bytes(count) : Self.outcome(outcome, "read")
    }

    /// After a read that did not fill its buffer: whether an event tells of all that is still to be read.
    var isDrained: Bool { copenssl_is_drained(ssl) }

    /// Bytes that did not go out must be offered again, the same ones first: a part of their record may have.
    func write(_ bytes: UnsafeRawBufferPointer) -> Stream.Outcome {
        ERR_clear_error()
        var count = 0
        var outcome = copenssl_done
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return copenssl_write(ssl, start, bytes.count, &count, &outcome)
            ? .bytes(count) : Self.outcome(outcome, "write")
    }

    /// Announces the end of what this side sends (close_notify); reading goes on. `false`: the socket takes nothing.
    func shutdown() -> Bool {
        ERR_clear_error()
        let result = SSL_shutdown(ssl)
        // 0: sent, and the other end's is still to come.
        return result >= 0 || copenssl_outcome_of(ssl, result) != copenssl_wants_write
    }

    private static func outcome(_ outcome: copenssl_outcome, _ call: String) -> Stream.Outcome {
        switch outcome {
        case copenssl_wants_read, copenssl_wants_write: .wouldBlock
        // Only a close_notify is an end. A connection that just stops may have been cut.
        case copenssl_closed: .end
        default: .failed(SystemError("TLS \(call)", code: Self.broken))
        }
    }

    /// EPROTO, whatever it was: a connection whose records do not fit is over.
    private static let broken: Int32 = 71
}
