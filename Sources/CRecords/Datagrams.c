#include "CRecords.h"

#include "Multibuffer.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct crecords_datagram_key {
    // One of the two.
    struct multibuffer_key *multibuffer;
    EVP_CIPHER_CTX *context;
};

struct crecords_datagram_key *crecords_datagram_key_new(
    const uint8_t bytes[crecords_datagram_key_bytes], bool seals, enum crecords_library library) {
    struct crecords_datagram_key *key = calloc(1, sizeof *key);
    if (!key) return NULL;
    if (library == crecords_fastest && multibuffer_version()) {
        key->multibuffer = multibuffer_key_new();
        if (key->multibuffer) {
            multibuffer_key_set(key->multibuffer, bytes);
            return key;
        }
    } else {
        key->context = EVP_CIPHER_CTX_new();
        if (key->context && EVP_CipherInit_ex(key->context, EVP_aes_128_gcm(), NULL, bytes, NULL, seals) == 1) return key;
    }
    crecords_datagram_key_free(key);
    return NULL;
}

void crecords_datagram_key_free(struct crecords_datagram_key *key) {
    if (!key) return;
    if (key->multibuffer) multibuffer_key_free(key->multibuffer);
    EVP_CIPHER_CTX_free(key->context);
    free(key);
}

bool crecords_datagram_seal(
    struct crecords_datagram_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *header, size_t header_count,
    const uint8_t *text, size_t count, uint8_t *out) {
    if (key->multibuffer) {
        multibuffer_seal_datagram(key->multibuffer, nonce, header, header_count, text, count, out, out + count);
        return true;
    }
    int done;
    return EVP_EncryptInit_ex(key->context, NULL, NULL, NULL, nonce) == 1
        && EVP_EncryptUpdate(key->context, NULL, &done, header, (int)header_count) == 1
        && (count == 0 || EVP_EncryptUpdate(key->context, out, &done, text, (int)count) == 1)
        && EVP_EncryptFinal_ex(key->context, out + count, &done) == 1
        && EVP_CIPHER_CTX_ctrl(key->context, EVP_CTRL_AEAD_GET_TAG, crecords_tag_bytes, out + count) == 1;
}

bool crecords_datagram_open(
    struct crecords_datagram_key *key, const uint8_t nonce[crecords_nonce_bytes], const uint8_t *header, size_t header_count,
    uint8_t *sealed, size_t count) {
    if (key->multibuffer) {
        uint8_t tag[crecords_tag_bytes];
        multibuffer_open_datagram(key->multibuffer, nonce, header, header_count, sealed, count, tag);
        return CRYPTO_memcmp(tag, sealed + count, sizeof tag) == 0;
    }
    int done;
    return EVP_DecryptInit_ex(key->context, NULL, NULL, NULL, nonce) == 1
        && EVP_DecryptUpdate(key->context, NULL, &done, header, (int)header_count) == 1
        && (count == 0 || EVP_DecryptUpdate(key->context, sealed, &done, sealed, (int)count) == 1)
        && EVP_CIPHER_CTX_ctrl(key->context, EVP_CTRL_AEAD_SET_TAG, crecords_tag_bytes, sealed + count) == 1
        && EVP_DecryptFinal_ex(key->context, sealed + count, &done) == 1;
}
