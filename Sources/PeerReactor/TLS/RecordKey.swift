internal import CRecords

/// The keys of one direction of a TLS 1.3 connection: seals or opens its records, one after the other (RFC 8446,
/// sections 5.2, 5.3 and 7.2). No I/O; the cipher is a library's, and so are its secrets, which are wiped there
/// (`CRecords`).
struct RecordKey: ~Copyable {
    /// What is inside a record (RFC 8446, section 5.1).
    enum Content: UInt8 {
        case alert = 21
        case handshake = 22
        case bytes = 23
    }

    /// What one record carries at most.
    static let maximumText = crecords_maximum_text
    static let headerBytes = crecords_header_bytes
    /// What a record has besides its text: the header, one byte for what it is, and the tag.
    static let overhead = crecords_overhead
    /// A record that others sent, with as much padding as they like (RFC 8446, section 5.2).
    static let maximumRecord = headerBytes + maximumText + 256
    /// Sealed with one key; AES-GCM may do 2^24.5 of the full size (RFC 8446, section 5.5).
    static let lifetime: UInt64 = 1 << 24

    private let lifetime: UInt64
    private let key: OpaquePointer
    /// The first 4 and the last 8 bytes of the static IV, as they are in memory and as a number.
    private var nonceHead: UInt32
    private var nonceTail: UInt64
    private var sequence: UInt64 = 0

    /// - Parameters:
    ///   - suite: the number of a cipher suite with SHA-256 (RFC 8446, section B.4).
    ///   - secret: this direction's traffic secret, 32 bytes; copied.
    ///   - lifetime: how many records one key seals before it is worn.
    init?(
        suite: UInt16, secret: UnsafePointer<UInt8>, seals: Bool, lifetime: UInt64 = lifetime,
        library: crecords_library = crecords_fastest
    ) {
        var made: OpaquePointer?
        let nonce = Self.withIV { iv in
            made = crecords_key_new(suite, secret, seals, library, iv)
            return made != nil
        }
        guard let made, let nonce else { return nil }
        self.lifetime = lifetime
        key = made
        (nonceHead, nonceTail) = nonce
    }

    deinit { crecords_key_free(key) }

    /// So many were sealed that the next ones need another key.
    var isWorn: Bool { sequence >= lifetime }

    /// Writes a record of `text`, at most `maximumText`, to `out`, which has room for that and the overhead. How long
    /// it is; `nil` when the library cannot.
    mutating func seal(_ content: Content, _ text: UnsafeRawBufferPointer, to out: UnsafeMutableRawPointer) -> Int? {
        seal(type: content.rawValue, text, to: out)
    }

    mutating func seal(type: UInt8, _ text: UnsafeRawBufferPointer, to out: UnsafeMutableRawPointer) -> Int? {
        let bytes = text.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let target = out.assumingMemoryBound(to: UInt8.self)
        let isDone = withNonce { key, nonce in
            crecords_seal(key, nonce, bytes, text.count, type, target)
        }
        return isDone ? text.count + Self.overhead : nil
    }

    /// Opens a whole record into `text`, which has room for all but its overhead. What it is and how long; `nil` when
    /// it is not genuine, and then nothing in `text` counts.
    mutating func open(_ record: UnsafeRawBufferPointer, into text: UnsafeMutableRawPointer) -> (Content, Int)? {
        guard record.count >= Self.overhead else { return nil }
        let bytes = record.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let target = text.assumingMemoryBound(to: UInt8.self)
        var last: UInt8 = 0
        let isGenuine = withNonce { key, nonce in
            crecords_open(key, nonce, bytes, record.count, target, &last)
        }
        guard isGenuine else { return nil }
        var count = record.count - Self.overhead
        // Zeros behind the text are padding; what it is stands before them.
        while last == 0 {
            guard count > 0 else { return nil }
            count -= 1
            last = target[count]
        }
        guard count <= Self.maximumText, let content = Content(rawValue: last) else { return nil }
        return (content, count)
    }

    /// Goes on with the next key (RFC 8446, section 7.2). `false` when the library cannot.
    mutating func update() -> Bool {
        let key = key
        guard let nonce = Self.withIV({ crecords_key_update(key, $0) }) else { return false }
        (nonceHead, nonceTail) = nonce
        sequence = 0
        return true
    }

    /// Calls `body` with the next record's nonce: the IV with the number of the record in its last bytes.
    private mutating func withNonce(_ body: (OpaquePointer, UnsafePointer<UInt8>?) -> Bool) -> Bool {
        let (key, head, tail) = (key, nonceHead, (nonceTail ^ sequence).bigEndian)
        sequence += 1
        return withUnsafeTemporaryAllocation(byteCount: Self.nonceBytes, alignment: 8) { nonce in
            nonce.storeBytes(of: head, as: UInt32.self)
            nonce.storeBytes(of: tail, toByteOffset: 4, as: UInt64.self)
            return body(key, UnsafePointer(nonce.baseAddress?.assumingMemoryBound(to: UInt8.self)))
        }
    }

    private static let nonceBytes = crecords_nonce_bytes

    /// The IV's first 4 and last 8 bytes, when `body` has written it.
    private static func withIV(_ body: (UnsafeMutablePointer<UInt8>?) -> Bool) -> (UInt32, UInt64)? {
        withUnsafeTemporaryAllocation(byteCount: nonceBytes, alignment: 8) { iv in
            guard body(iv.baseAddress?.assumingMemoryBound(to: UInt8.self)) else { return nil }
            let tail = iv.loadUnaligned(fromByteOffset: 4, as: UInt64.self)
            return (iv.loadUnaligned(as: UInt32.self), UInt64(bigEndian: tail))
        }
    }
}
