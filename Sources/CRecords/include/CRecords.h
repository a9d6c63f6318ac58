// Records of TLS 1.3 (RFC 8446, section 5.2) and datagrams, sealed and opened by the fastest library that this machine has:
// libipsec-mb where it is installed, else OpenSSL's libcrypto. No sockets, and no state but keys: numbers and order are the
// caller's.
#ifndef CRECORDS_H
#define CRECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    crecords_secret_bytes = 32,
    crecords_nonce_bytes = 12,
    crecords_header_bytes = 5,
    crecords_maximum_text = 1 << 14,
    /// The header, and behind the text one byte for what it is and the tag.
    crecords_overhead = crecords_header_bytes + 1 + 16,
};

/// The suites with SHA-256 (RFC 8446, section B.4).
enum crecords_suite { crecords_aes_128_gcm = 0x1301, crecords_chacha20_poly1305 = 0x1303 };

/// What does the work: the fastest that there is, or OpenSSL in any case.
enum crecords_library { crecords_fastest, crecords_openssl };

/// The key of one direction, with the traffic secret that it and its successors are made from (RFC 8446, sections 7.2 and
/// 7.3); wiped when it is freed. May go from thread to thread, and is used by one at a time.
struct crecords_key;
/// NULL for an unknown suite, and when there is no memory. `iv` gets the static IV.
struct crecords_key *crecords_key_new(
    uint16_t suite, const uint8_t secret[crecords_secret_bytes], bool seals, enum crecords_library library,
    uint8_t iv[crecords_nonce_bytes]);
/// Goes on with the next secret, and keeps nothing of the former one. False when the library cannot; then the key is of
/// no more use.
bool crecords_key_update(struct crecords_key *key, uint8_t iv[crecords_nonce_bytes]);
void crecords_key_free(struct crecords_key *key);

/// Writes the whole record of `count` bytes of text, at most 2^14, to `out`, which has room for them and the overhead.
bool crecords_seal(
    struct crecords_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *text, size_t count, uint8_t type,
    uint8_t *out);

/// Opens a whole record of `count` bytes: `text` gets what is before the last byte, and `last` that. False when it is
/// not genuine; then `text` holds nothing that may be used.
bool crecords_open(
    struct crecords_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *record, size_t count,
    uint8_t *text, uint8_t *last);

enum { crecords_datagram_key_bytes = 16, crecords_tag_bytes = 16 };

/// The key of one direction of datagrams (AES-128-GCM, 96-bit nonces); wiped when it is freed. May go from thread to thread,
/// and is used by one at a time.
struct crecords_datagram_key;
/// NULL when there is no memory.
struct crecords_datagram_key *crecords_datagram_key_new(
    const uint8_t bytes[crecords_datagram_key_bytes], bool seals, enum crecords_library library);
void crecords_datagram_key_free(struct crecords_datagram_key *key);

/// Encrypts `count` bytes of text to `out`, which may be where they are, and writes the tag behind them. The tag is of the
/// header, too.
bool crecords_datagram_seal(
    struct crecords_datagram_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *header, size_t header_count,
    const uint8_t *text, size_t count, uint8_t *out);
/// Decrypts `count` bytes, which the tag is behind, in their place. False when they or the header are not genuine; then
/// nothing in that place counts.
bool crecords_datagram_open(
    struct crecords_datagram_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *header, size_t header_count,
    uint8_t *sealed, size_t count);

/// What a thread's scratch has room for: records of the largest size that is sent, and a message before them.
enum { crecords_batch = 4, crecords_scratch_bytes = crecords_batch * (crecords_maximum_text + crecords_overhead) + 64 };
/// A buffer of this thread, for sealed bytes on their way to a socket or from it; NULL when there is no memory. Goes with
/// the thread. Not to be held over calls of others.
uint8_t *crecords_scratch(void);

/// The version of libipsec-mb that AES-128-GCM is done with, or NULL.
const char *crecords_multibuffer(void);

#endif
