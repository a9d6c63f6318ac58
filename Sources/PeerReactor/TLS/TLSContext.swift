internal import COpenSSL
public import PeerWire

/// What a TLS connection between nodes is for, by its application protocol (ALPN, RFC 7301).
public enum ApplicationProtocol: UInt32, Sendable {
    /// `p2prc/1`: both ends prove their node keys with certificates.
    case session = 1
    /// `p2prc-data/1`: both ends prove that they share a key out of a session; no certificates.
    case data = 2
    /// `http/1.1`: the server proves its node key, the client may.
    case http = 3

    init?(_ value: copenssl_protocol) { self.init(rawValue: value.rawValue) }
    var value: copenssl_protocol { copenssl_protocol(rawValue) }
}

/// This node's side of every TLS connection: its key as a self-signed certificate, TLS 1.3 only.
///
/// The certificate says nothing but the key, and the same for everybody: no name, and times that never end, so that a
/// wrong clock stops nobody.
public final class TLSContext: @unchecked Sendable {
    // Unchecked: OpenSSL counts the references to a context itself and locks what its connections share.
    let server: OpaquePointer
    let client: OpaquePointer

    /// - Parameters:
    ///   - seed: of the node's Ed25519 key, 32 bytes.
    ///   - keys: what other nodes' data channels may prove.
    public init(seed: [UInt8], keys: ChannelKeys) throws(TLSFailure) {
        // Connections outlive this object, and ask for keys as long as they live.
        let owner = Unmanaged.passRetained(keys)
        guard seed.count == NodeIdentity.seedByteCount,
            let server = copenssl_server(
                seed,
                { owner, identity, key in
                    guard let owner, let identity, let key else { return false }
                    let keys = Unmanaged<ChannelKeys>.fromOpaque(owner).takeUnretainedValue()
                    return keys.copy(UnsafeBufferPointer(start: identity, count: ChannelGroup.byteCount), to: key)
                }, owner.toOpaque(),
                { owner in if let owner { Unmanaged<ChannelKeys>.fromOpaque(owner).release() } })
        else {
            owner.release()
            throw TLSFailure.current("the TLS library cannot be set up")
        }
        guard let client = copenssl_client(seed) else {
            SSL_CTX_free(server)
            throw TLSFailure.current("the TLS library cannot be set up")
        }
        // Found and tested now, and not when the first visitor waits.
        _ = RecordLibrary.description
        self.server = server
        self.client = client
    }

    deinit {
        SSL_CTX_free(server)
        SSL_CTX_free(client)
    }

    /// The certificate in DER (RFC 5280).
    public var certificate: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1_024)
        let count = copenssl_certificate(server, &bytes, bytes.count)
        return Array(bytes.prefix(count))
    }

    /// The key that a certificate in DER stands for; `nil` when no node may show such a one.
    public static func key(ofCertificate der: [UInt8]) -> NodeKey? {
        var key = [UInt8](repeating: 0, count: NodeKey.byteCount)
        return copenssl_certificate_key(der, der.count, &key) ? NodeKey(bytes: key) : nil
    }
}

/// Why a TLS connection did not come about.
public struct TLSFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    static let notTLS = "what answers there speaks no TLS, so it is no p2prc of this version"

    /// What this thread's last call to OpenSSL complained about.
    static func current(_ what: String) -> TLSFailure {
        let code = ERR_get_error()
        ERR_clear_error()
        guard code != 0, let reason = ERR_reason_error_string(code) else { return TLSFailure(description: what) }
        // What OpenSSL makes of the first bytes of any other protocol.
        guard ERR_GET_REASON(code) != SSL_R_WRONG_VERSION_NUMBER else { return TLSFailure(description: notTLS) }
        return TLSFailure(description: "\(what) (\(String(cString: reason)))")
    }
}
