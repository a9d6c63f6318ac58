#include "CRecords.h"

#include "Multibuffer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { tag_bytes = 16, maximum_label = 32, application_data = 23 };

// MARK: Keys

// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1), for at most 32 bytes. `out` may be the secret.
static bool expand_label(const uint8_t *secret, const char *label, uint8_t *out, size_t count) {
    // Length, label with its prefix, no context, and the number of the one block that is needed.
    uint8_t info[2 + 1 + maximum_label + 1 + 1], block[EVP_MAX_MD_SIZE];
    static const char prefix[] = "tls13 ";
    size_t before = sizeof prefix - 1, all = before + strlen(label), used = 0;
    unsigned int made;
    if (all > maximum_label || count > crecords_secret_bytes) return false;
    info[used++] = 0, info[used++] = (uint8_t)count, info[used++] = (uint8_t)all;
    memcpy(info + used, prefix, before);
    memcpy(info + used + before, label, all - before);
    used += all;
    info[used++] = 0, info[used++] = 1;
    bool is_done = HMAC(EVP_sha256(), secret, crecords_secret_bytes, info, used, block, &made) && made >= count;
    if (is_done) memcpy(out, block, count);
    OPENSSL_cleanse(block, sizeof block);
    return is_done;
}

struct crecords_key {
    // One of the two.
    struct multibuffer_key *multibuffer;
    EVP_CIPHER_CTX *context;
    uint16_t suite;
    bool seals;
    // What the next key is made from.
    uint8_t secret[crecords_secret_bytes];
};

const char *crecords_multibuffer(void) { return multibuffer_version(); }

static const EVP_CIPHER *cipher_of(uint16_t suite) {
    switch (suite) {
    case crecords_aes_128_gcm: return EVP_aes_128_gcm();
    case crecords_chacha20_poly1305: return EVP_chacha20_poly1305();
    default: return NULL;
    }
}

// Puts the key of the present secret to use.
static bool use_secret(struct crecords_key *key, uint8_t *iv) {
    uint8_t bytes[EVP_MAX_KEY_LENGTH];
    const EVP_CIPHER *cipher = cipher_of(key->suite);
    bool is_done = cipher && expand_label(key->secret, "key", bytes, (size_t)EVP_CIPHER_get_key_length(cipher))
        && expand_label(key->secret, "iv", iv, crecords_nonce_bytes);
    if (is_done && key->multibuffer) multibuffer_key_set(key->multibuffer, bytes);
    else if (is_done) is_done = EVP_CipherInit_ex(key->context, cipher, NULL, bytes, NULL, key->seals) == 1;
    OPENSSL_cleanse(bytes, sizeof bytes);
    return is_done;
}

struct crecords_key *crecords_key_new(
    uint16_t suite, const uint8_t secret[crecords_secret_bytes], bool seals, enum crecords_library library,
    uint8_t iv[crecords_nonce_bytes]) {
    struct crecords_key *key = calloc(1, sizeof *key);
    if (!key) return NULL;
    key->suite = suite;
    key->seals = seals;
    memcpy(key->secret, secret, sizeof key->secret);
    if (suite == crecords_aes_128_gcm && library == crecords_fastest && multibuffer_version())
        key->multibuffer = multibuffer_key_new();
    else
        key->context = EVP_CIPHER_CTX_new();
    if ((key->multibuffer || key->context) && use_secret(key, iv)) return key;
    crecords_key_free(key);
    return NULL;
}

bool crecords_key_update(struct crecords_key *key, uint8_t iv[crecords_nonce_bytes]) {
    return expand_label(key->secret, "traffic upd", key->secret, sizeof key->secret) && use_secret(key, iv);
}

void crecords_key_free(struct crecords_key *key) {
    if (!key) return;
    if (key->multibuffer) multibuffer_key_free(key->multibuffer);
    EVP_CIPHER_CTX_free(key->context);
    OPENSSL_cleanse(key, sizeof *key);
    free(key);
}

// MARK: Records

bool crecords_seal(
    struct crecords_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *text, size_t count, uint8_t type,
    uint8_t *out) {
    uint8_t *sealed = out + crecords_header_bytes;
    size_t behind = count + 1 + tag_bytes;
    int done;
    out[0] = application_data, out[1] = 3, out[2] = 3, out[3] = (uint8_t)(behind >> 8), out[4] = (uint8_t)behind;
    if (key->multibuffer) {
        multibuffer_seal(key->multibuffer, nonce, out, text, count, &type, sealed);
        return true;
    }
    EVP_CIPHER_CTX *context = key->context;
    return EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1
        && EVP_EncryptUpdate(context, NULL, &done, out, crecords_header_bytes) == 1
        && (count == 0 || EVP_EncryptUpdate(context, sealed, &done, text, (int)count) == 1)
        && EVP_EncryptUpdate(context, sealed + count, &done, &type, 1) == 1
        && EVP_EncryptFinal_ex(context, sealed + count + 1, &done) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tag_bytes, sealed + count + 1) == 1;
}

bool crecords_open(
    struct crecords_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *record, size_t count,
    uint8_t *text, uint8_t *last) {
    if (count < crecords_overhead) return false;
    const uint8_t *sealed = record + crecords_header_bytes;
    size_t inside = count - crecords_overhead;
    uint8_t tag[tag_bytes];
    int done;
    if (key->multibuffer) {
        multibuffer_open(key->multibuffer, nonce, record, sealed, inside, text, last, tag);
        return CRYPTO_memcmp(tag, sealed + inside + 1, sizeof tag) == 0;
    }
    EVP_CIPHER_CTX *context = key->context;
    memcpy(tag, sealed + inside + 1, sizeof tag);
    return EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1
        && EVP_DecryptUpdate(context, NULL, &done, record, crecords_header_bytes) == 1
        && (inside == 0 || EVP_DecryptUpdate(context, text, &done, sealed, (int)inside) == 1)
        && EVP_DecryptUpdate(context, last, &done, sealed + inside, 1) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1
        && EVP_DecryptFinal_ex(context, tag, &done) == 1;
}

// MARK: Scratch

static pthread_key_t scratch_key;
static bool has_scratch_key;
static void make_scratch_key(void) { has_scratch_key = pthread_key_create(&scratch_key, free) == 0; }

uint8_t *crecords_scratch(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local uint8_t *mine;
    if (mine) return mine;
    pthread_once(&once, make_scratch_key);
    void *made = NULL;
    // The key is for its destructor alone.
    if (!has_scratch_key || posix_memalign(&made, 4096, crecords_scratch_bytes) != 0) return NULL;
    if (pthread_setspecific(scratch_key, made) != 0) {
        free(made);
        return NULL;
    }
    return mine = made;
}
