import COpenSSL
import Glibc

@testable import PeerReactor

/// TLS as any other program does it: OpenSSL with its own defaults, on a blocking socket.
final class ForeignTLS {
    enum End { case client, server }

    private let context: OpaquePointer
    private let ssl: OpaquePointer
    private let socket: TestSocket
    private let end: End
    private let key: UnsafeMutablePointer<(identity: [UInt8], key: [UInt8])>?

    /// - Parameters:
    ///   - alpn: what a client offers; a server takes the first that it is offered, whatever it is.
    ///   - version: the only one that is spoken, as on the wire; `nil`: all that OpenSSL speaks.
    ///   - key: a pre-shared key that a client offers.
    init(
        _ end: End, on socket: TestSocket, alpn: [String], certificate: ForeignCertificate?, version: Int? = nil,
        key: (identity: [UInt8], key: [UInt8])? = nil
    ) throws {
        context = SSL_CTX_new(end == .client ? TLS_client_method() : TLS_server_method())
        ssl = SSL_new(context)
        self.socket = socket
        self.end = end
        if let key {
            let place = UnsafeMutablePointer<(identity: [UInt8], key: [UInt8])>.allocate(capacity: 1)
            place.initialize(to: key)
            self.key = place
        } else {
            self.key = nil
        }
        if let version {
            _ = SSL_ctrl(ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, version, nil)
            _ = SSL_ctrl(ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, version, nil)
        }
        if !alpn.isEmpty {
            let list = alpn.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            _ = SSL_set_alpn_protos(ssl, list, UInt32(list.count))
        }
        SSL_CTX_set_alpn_select_cb(
            context,
            { _, chosen, count, list, _, _ in
                chosen?.pointee = list.map { $0 + 1 }
                count?.pointee = list?.pointee ?? 0
                return SSL_TLSEXT_ERR_OK
            }, nil)
        if let certificate { certificate.use(on: ssl) }
        if let place = self.key {
            SSL_set_ex_data(ssl, Self.keyIndex, place)
            SSL_set_psk_use_session_callback(ssl) { ssl, _, identity, count, session in
                guard let ssl, let held = SSL_get_ex_data(ssl, ForeignTLS.keyIndex) else { return 0 }
                let key = held.assumingMemoryBound(to: (identity: [UInt8], key: [UInt8]).self)
                let made = SSL_SESSION_new()
                SSL_SESSION_set1_master_key(made, key.pointee.key, key.pointee.key.count)
                SSL_SESSION_set_cipher(made, SSL_CIPHER_find(ssl, [0x13, 0x01]))
                SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION)
                session?.pointee = made
                // OpenSSL copies the identity before the next call.
                identity?.pointee = key.pointee.identity.withUnsafeBufferPointer { $0.baseAddress }
                count?.pointee = key.pointee.identity.count
                return 1
            }
        }
        SSL_set_fd(ssl, socket.fd)
    }

    private static let keyIndex = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nil, nil, nil, nil)

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
        key?.deinitialize(count: 1)
        key?.deallocate()
    }

    /// Whether it succeeded, as far as this end knows. In TLS 1.3 a client learns of its refusal by the first read
    /// only.
    func handshake() -> Bool {
        Self.blockBrokenPipeSignal()
        let result = end == .client ? SSL_connect(ssl) : SSL_accept(ssl)
        guard result == 1 else { return false }
        if end == .server { return true }
        // A byte, or nothing for a while, or an alert: only the last is a refusal.
        var time = timeval(tv_sec: 0, tv_usec: 300_000)
        setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var byte: UInt8 = 0
        let count = SSL_read(ssl, &byte, 1)
        return count > 0 || SSL_get_error(ssl, count) == SSL_ERROR_WANT_READ
    }

    /// OpenSSL's own sockets raise it; for this thread alone, so that one from the code under test still shows.
    private static func blockBrokenPipeSignal() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    func send(_ bytes: [UInt8]) -> Bool { SSL_write(ssl, bytes, Int32(bytes.count)) == Int32(bytes.count) }

    /// So many bytes, or fewer where the connection ended.
    func receive(exactly count: Int) -> [UInt8] {
        // What `handshake` limited is this test's own now.
        var time = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let some = bytes.withUnsafeMutableBytes { SSL_read(ssl, $0.baseAddress! + filled, Int32(count - filled)) }
            guard some > 0 else { break }
            filled += Int(some)
        }
        return Array(bytes.prefix(filled))
    }

    /// Whether the other end has said that nothing more comes, and there is nothing more.
    var isAtEnd: Bool {
        var byte: UInt8 = 0
        return SSL_get_error(ssl, SSL_read(ssl, &byte, 1)) == SSL_ERROR_ZERO_RETURN
    }

    func finish() { SSL_shutdown(ssl) }

    /// The next thing sent goes under another key; the other end is asked for the same.
    func updateKey() { SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) }

    enum Restlessness: CaseIterable { case keyUpdates, tickets }

    /// Sends so many messages that bring no payload, each in a record of its own; tickets only as a server.
    func fidget(_ kind: Restlessness, _ count: Int) -> Bool {
        (0..<count).allSatisfy { _ in
            let isAsked =
                kind == .keyUpdates
                ? SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) : SSL_new_session_ticket(ssl)
            return isAsked == 1 && SSL_do_handshake(ssl) == 1
        }
    }

    /// Whether the other end showed a certificate.
    var sawCertificate: Bool { SSL_get0_peer_certificate(ssl) != nil }

    /// Asks a client for its certificate, and takes what it shows.
    func askForCertificate() {
        SSL_set_verify(ssl, SSL_VERIFY_PEER) { _, _ in 1 }
    }

    /// Records have a multiple of so many bytes.
    func pad(to block: Int) { SSL_set_block_padding(ssl, block) }
}

/// A certificate and its private key as others make them.
final class ForeignCertificate {
    private let certificate: OpaquePointer
    private let key: OpaquePointer
    private let issuer: OpaquePointer?

    private init(subject: OpaquePointer, signer: OpaquePointer, digest: OpaquePointer?, issuer: OpaquePointer? = nil) {
        certificate = X509_new()
        key = subject
        self.issuer = issuer
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC_UTF8, "p2prc", -1, -1, 0)
        X509_set_issuer_name(certificate, X509_get_subject_name(certificate))
        ASN1_TIME_set_string(X509_getm_notBefore(certificate), "19700101000000Z")
        ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z")
        X509_set_pubkey(certificate, subject)
        X509_sign(certificate, signer, digest)
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
        if let issuer { X509_free(issuer) }
    }

    static func ed25519() -> ForeignCertificate {
        let key = make(EVP_PKEY_ED25519)
        return ForeignCertificate(subject: key, signer: key, digest: nil)
    }

    static func rsa() -> ForeignCertificate {
        let key = make(EVP_PKEY_RSA) { EVP_PKEY_CTX_set_rsa_keygen_bits($0, 2_048) }
        return ForeignCertificate(subject: key, signer: key, digest: EVP_sha256())
    }

    static func ecdsa() -> ForeignCertificate {
        let key = make(EVP_PKEY_EC) { EVP_PKEY_CTX_set_ec_paramgen_curve_nid($0, NID_X9_62_prime256v1) }
        return ForeignCertificate(subject: key, signer: key, digest: EVP_sha256())
    }

    /// For its own key, but signed by somebody else's.
    static func signedByAnother() -> ForeignCertificate {
        let other = make(EVP_PKEY_ED25519)
        defer { EVP_PKEY_free(other) }
        return ForeignCertificate(subject: make(EVP_PKEY_ED25519), signer: other, digest: nil)
    }

    /// Good by itself, with another one behind it.
    static func withChain() -> ForeignCertificate {
        let other = make(EVP_PKEY_ED25519)
        let behind = ForeignCertificate(subject: other, signer: other, digest: nil)
        X509_up_ref(behind.certificate)
        let key = make(EVP_PKEY_ED25519)
        return ForeignCertificate(subject: key, signer: key, digest: nil, issuer: behind.certificate)
    }

    func use(on ssl: OpaquePointer) {
        SSL_use_certificate(ssl, certificate)
        SSL_use_PrivateKey(ssl, key)
        if let issuer { _ = SSL_ctrl(ssl, SSL_CTRL_CHAIN_CERT, 1, UnsafeMutableRawPointer(issuer)) }
    }

    var der: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(i2d_X509(certificate, nil)))
        bytes.withUnsafeMutableBufferPointer { room in
            var at = room.baseAddress
            i2d_X509(certificate, &at)
        }
        return bytes
    }

    private static func make(_ kind: Int32, _ change: (OpaquePointer?) -> Int32 = { _ in 1 }) -> OpaquePointer {
        let context = EVP_PKEY_CTX_new_id(kind, nil)
        defer { EVP_PKEY_CTX_free(context) }
        EVP_PKEY_keygen_init(context)
        _ = change(context)
        var key: OpaquePointer?
        EVP_PKEY_keygen(context, &key)
        return key!
    }
}

/// MBSTRING_FLAG | 1, a macro that Swift does not see.
private let MBSTRING_ASC_UTF8: Int32 = 0x1001
