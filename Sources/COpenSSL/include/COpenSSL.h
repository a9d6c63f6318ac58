// OpenSSL (libssl, libcrypto) for Swift: its headers, and in C what it offers as macros or asks for as callbacks.
// Nothing here knows p2prc's protocol beyond the names of application protocols and the kind of certificate.
#ifndef COPENSSL_H
#define COPENSSL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What a TLS connection is for; the values of the application protocols (ALPN).
enum copenssl_protocol {
    copenssl_none = 0,
    /// "p2prc/1": both ends show certificates.
    copenssl_session = 1,
    /// "p2prc-data/1": a pre-shared key and no certificates.
    copenssl_data = 2,
    /// "http/1.1": the client may show a certificate.
    copenssl_http = 3,
};

enum { copenssl_key_bytes = 32, copenssl_identity_bytes = 9 };

/// Finds the pre-shared key of an identity; false when there is none. May be called on any thread.
typedef bool (*copenssl_find_key)(
    void *owner, const uint8_t identity[copenssl_identity_bytes], uint8_t key[copenssl_key_bytes]);

/// Nobody asks the owner any more. May be called on any thread.
typedef void (*copenssl_let_go)(void *owner);

/// Contexts for TLS 1.3 and nothing older, with a self-signed certificate for the Ed25519 key `seed`; NULL when the
/// library cannot. A context lives as long as the last connection that was made from it: only then, and only where a
/// context was made, is the owner let go of.
SSL_CTX *copenssl_server(
    const uint8_t seed[copenssl_key_bytes], copenssl_find_key find, void *owner, copenssl_let_go let_go);
SSL_CTX *copenssl_client(const uint8_t seed[copenssl_key_bytes]);

/// Makes a client's context that somebody else built (a library that dials by itself) show the certificate of `model`,
/// and accept what such a context accepts: TLS 1.3, and certificates of nodes. It writes no key log, and messages that
/// bring no payload are counted as on connections of this module (`copenssl_paid`).
bool copenssl_take_after(SSL_CTX *context, SSL_CTX *model);
/// Such a connection brought payload: what its other end may have the library do without any begins anew.
void copenssl_paid(SSL *ssl);
/// From then on its connections accept the node with this key, and no other.
bool copenssl_expect(SSL_CTX *context, const uint8_t key[copenssl_key_bytes]);

/// A connection on a socket, which stays the caller's; NULL when there is no memory.
SSL *copenssl_accept(SSL_CTX *context, int fd);
SSL *copenssl_connect(SSL_CTX *context, int fd, enum copenssl_protocol protocol);
/// Like the above for `copenssl_data`, with the pre-shared key under that identity.
SSL *copenssl_connect_with_key(
    SSL_CTX *context, int fd, const uint8_t identity[copenssl_identity_bytes], const uint8_t key[copenssl_key_bytes]);

/// What was agreed; after the handshake only.
enum copenssl_protocol copenssl_agreed(SSL *ssl);
/// The identity of the pre-shared key that both ends used; false when none was.
bool copenssl_used_key(SSL *ssl, uint8_t identity[copenssl_identity_bytes]);
/// The Ed25519 public key of the other end's certificate; false when it showed none.
bool copenssl_peer_key(SSL *ssl, uint8_t key[copenssl_key_bytes]);
/// For whoever goes on with the records of a data channel without OpenSSL's connection, once the handshake is done: the
/// suite's number (RFC 8446, section B.4), and the secret of each side's keys (section 7.1). False when something was
/// read ahead, or for other connections.
bool copenssl_take_over(
    SSL *ssl, uint16_t *suite, uint8_t own[copenssl_key_bytes], uint8_t other[copenssl_key_bytes]);
/// Keying material of this connection for one purpose (RFC 8446, section 7.5).
bool copenssl_export(SSL *ssl, const char *label, uint8_t *out, size_t count);

/// The key of a DER certificate that a node may show: Ed25519, signed by itself, nothing behind it. False for others.
bool copenssl_certificate_key(const uint8_t *der, size_t count, uint8_t key[copenssl_key_bytes]);
/// The certificate of a context in DER: the number of bytes, of which at most `room` are written.
size_t copenssl_certificate(SSL_CTX *context, uint8_t *der, size_t room);

/// What a read, write, handshake or shutdown came to, from its return value.
enum copenssl_outcome { copenssl_done, copenssl_wants_read, copenssl_wants_write, copenssl_closed, copenssl_failed };
enum copenssl_outcome copenssl_outcome_of(SSL *ssl, int result);

/// Fills `bytes` from as many records as there are, but 64 at most, of which a message that is no payload counts as eight:
/// then there may be more, and `count` may be 0. False: nothing came, and `outcome` says why. What ends the connection
/// behind some bytes is said by the next call; more than 32 messages or records in a row without payload do.
bool copenssl_read(SSL *ssl, uint8_t *bytes, size_t room, size_t *count, enum copenssl_outcome *outcome);
/// Whether after a read that did not fill its room the next one would have nothing to say before the socket has
/// something new.
bool copenssl_is_drained(SSL *ssl);
/// Writes as many records as the socket takes. False: nothing went out, or the connection broke, and `outcome` says so.
bool copenssl_write(SSL *ssl, const uint8_t *bytes, size_t all, size_t *count, enum copenssl_outcome *outcome);

#endif
