// AES-128-GCM by libipsec-mb (Debian: libipsec-mb1), whose code for processors with VAES and AVX-512 is three times as fast
// as that of OpenSSL 3.0. It is for amd64 alone, so it is looked for when the program runs and nothing depends on it.
#ifndef MULTIBUFFER_H
#define MULTIBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct multibuffer_key;

/// Its version; NULL when it is not installed, when it is not the one that this was built for, or when it fails its own
/// tests.
const char *multibuffer_version(void);
/// NULL when there is no memory. Only where there is a version.
struct multibuffer_key *multibuffer_key_new(void);
/// 16 bytes. Before the first record, and for each further key.
void multibuffer_key_set(struct multibuffer_key *key, const uint8_t *bytes);
void multibuffer_key_free(struct multibuffer_key *key);

/// As `crecords_seal` and `crecords_open`, behind the header; the tag has 16 bytes.
void multibuffer_seal(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, const uint8_t *text, size_t count,
    const uint8_t *type, uint8_t *sealed);
void multibuffer_open(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, const uint8_t *sealed, size_t count,
    uint8_t *text, uint8_t *last, uint8_t *tag);

/// The same of datagrams: all of the text in one step, from one place to another or the same.
void multibuffer_seal_datagram(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, size_t header_count, const uint8_t *text,
    size_t count, uint8_t *out, uint8_t *tag);
void multibuffer_open_datagram(
    const struct multibuffer_key *key, const uint8_t *nonce, const uint8_t *header, size_t header_count, uint8_t *sealed,
    size_t count, uint8_t *tag);

#endif
