#include "COpenSSL.h"

#include "Guard.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/socket.h>

// What a connection remembers besides OpenSSL's own state.
struct extra {
    enum copenssl_protocol protocol;
    int fd;
    struct guard guard;
    // The last read of the socket brought less than there was room for: there is nothing more in it.
    bool is_drained;
    // The next read has something to say that is no bytes, and no event will tell of it.
    bool owes_news;
    // What is written now is followed by more at once.
    bool is_followed;
    bool offers_key;
    uint8_t identity[copenssl_identity_bytes];
    uint8_t key[copenssl_key_bytes];
    // Of a data channel, for whoever takes its records over: what each side's keys are made from.
    bool has_client_secret, has_server_secret;
    uint8_t client_secret[copenssl_key_bytes], server_secret[copenssl_key_bytes];
};

struct finder {
    copenssl_find_key find;
    void *owner;
    copenssl_let_go let_go;
};

static int extra_index = -1, finder_index = -1, expected_index = -1;

static void free_extra(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl, void *argp) {
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    if (pointer) OPENSSL_clear_free(pointer, sizeof(struct extra));
}

static void free_finder(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl, void *argp) {
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    struct finder *finder = pointer;
    if (finder && finder->let_go) finder->let_go(finder->owner);
    OPENSSL_free(finder);
}

static void free_expected(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl, void *argp) {
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    OPENSSL_free(pointer);
}

// MARK: The socket below a connection. OpenSSL's own would raise SIGPIPE on a broken one.

static int read_socket(BIO *bio, char *bytes, int count) {
    struct extra *extra = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    extra->is_drained = false;
    if (guard_refuses(&extra->guard)) {
        errno = EPROTO;
        return -1;
    }
    if (guard_pauses(&extra->guard)) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t got = recv(extra->fd, bytes, (size_t)count, 0);
    bool is_empty = got < 0 && errno == EAGAIN;
    if (is_empty || (got < 0 && errno == EINTR)) BIO_set_retry_read(bio);
    // epoll(7): on a stream socket a short read says so too, and what comes after it is an event.
    extra->is_drained = is_empty || (got > 0 && got < count);
    return (int)got;
}

static int write_socket(BIO *bio, const char *bytes, int count) {
    struct extra *extra = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t put = send(extra->fd, bytes, (size_t)count, MSG_NOSIGNAL | (extra->is_followed ? MSG_MORE : 0));
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
    return (int)put;
}

static long control_socket(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *socket_method;

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static void make_globals(void) {
    // First of all calls: OpenSSL is not taken apart when the process ends, for other threads may still be letting go of
    // connections then, and would find its locks gone (OPENSSL_init_crypto(3)).
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    extra_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_extra);
    finder_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_finder);
    expected_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_expected);
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "p2prc");
    if (method && BIO_meth_set_read(method, read_socket) && BIO_meth_set_write(method, write_socket)
        && BIO_meth_set_ctrl(method, control_socket))
        socket_method = method;
}

static struct extra *extra_of(const SSL *ssl) { return SSL_get_ex_data(ssl, extra_index); }

// MARK: Names of application protocols, each with its length before it as on the wire

static const unsigned char session_name[] = "\x07p2prc/1", data_name[] = "\x0cp2prc-data/1", http_name[] = "\x08http/1.1";

static const unsigned char *name_of(enum copenssl_protocol protocol, unsigned int *count) {
    const unsigned char *name = NULL;
    switch (protocol) {
    case copenssl_session: name = session_name; break;
    case copenssl_data: name = data_name; break;
    case copenssl_http: name = http_name; break;
    case copenssl_none: break;
    }
    *count = name ? name[0] + 1u : 0;
    return name;
}

static bool offers(const unsigned char *list, size_t count, const unsigned char *name) {
    for (size_t at = 0; at < count && at + list[at] < count; at += list[at] + 1u)
        if (list[at] == name[0] && memcmp(list + at, name, name[0] + 1u) == 0) return true;
    return false;
}

// MARK: Certificates

// Ed25519, signed by itself. Validity in time means nothing here: a node is its key.
static bool is_acceptable(X509 *certificate, uint8_t *key) {
    EVP_PKEY *public_key = X509_get0_pubkey(certificate);
    size_t count = copenssl_key_bytes;
    uint8_t bytes[copenssl_key_bytes];
    if (!public_key || EVP_PKEY_get_base_id(public_key) != EVP_PKEY_ED25519 || X509_verify(certificate, public_key) != 1
        || EVP_PKEY_get_raw_public_key(public_key, bytes, &count) != 1 || count != copenssl_key_bytes)
        return false;
    if (key) memcpy(key, bytes, sizeof bytes);
    return true;
}

static int verify_chain(X509_STORE_CTX *store, void *unused) {
    (void)unused;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    bool is_alone = !sent || sk_X509_num(sent) <= 1;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const uint8_t *expected = ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), expected_index) : NULL;
    uint8_t key[copenssl_key_bytes];
    if (leaf && is_alone && is_acceptable(leaf, key) && (!expected || memcmp(key, expected, sizeof key) == 0)) return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

static bool fill(X509 *certificate, EVP_PKEY *key) {
    X509_NAME *name = X509_get_subject_name(certificate);
    // The same name and times for everybody: a stranger learns a key and nothing else. The last time is the one that
    // means "never" (RFC 5280, section 4.1.2.5).
    return X509_set_version(certificate, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1)
        && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"p2prc", -1, -1, 0)
        && X509_set_issuer_name(certificate, name)
        && ASN1_TIME_set_string(X509_getm_notBefore(certificate), "19700101000000Z")
        && ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z")
        && X509_set_pubkey(certificate, key) && X509_sign(certificate, key, NULL) > 0;
}

static bool use_seed(SSL_CTX *context, const uint8_t *seed) {
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, copenssl_key_bytes);
    X509 *certificate = X509_new();
    bool is_done = key && certificate && fill(certificate, key) && SSL_CTX_use_certificate(context, certificate) == 1
        && SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return is_done;
}

// MARK: Pre-shared keys

// A session that resumes nothing but the key; bound to SHA-256 by its cipher.
static SSL_SESSION *session_of(SSL *ssl, const uint8_t *key) {
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
    SSL_SESSION *session = SSL_SESSION_new();
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    if (session && cipher && SSL_SESSION_set1_master_key(session, key, copenssl_key_bytes)
        && SSL_SESSION_set_cipher(session, cipher) && SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

static int find_session(SSL *ssl, const unsigned char *identity, size_t count, SSL_SESSION **session) {
    struct extra *extra = extra_of(ssl);
    struct finder *finder = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), finder_index);
    uint8_t key[copenssl_key_bytes];
    *session = NULL;
    // Only data channels have pre-shared keys; elsewhere one is not looked at, and the certificates decide.
    if (!extra || extra->protocol != copenssl_data) return 1;
    if (!finder || count != copenssl_identity_bytes || !finder->find(finder->owner, identity, key)) return 0;
    *session = session_of(ssl, key);
    OPENSSL_cleanse(key, sizeof key);
    memcpy(extra->identity, identity, count);
    return *session != NULL;
}

static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **identity, size_t *count, SSL_SESSION **session) {
    struct extra *extra = extra_of(ssl);
    *session = NULL;
    if (!extra || !extra->offers_key) return 1;
    if (md && EVP_MD_get_type(md) != NID_sha256) return 0;
    *session = session_of(ssl, extra->key);
    *identity = extra->identity;
    *count = sizeof extra->identity;
    return *session != NULL;
}

// MARK: A client's first message

// OpenSSL does not ask `choose_protocol` when the client names no protocol at all, so this is looked at here.
static int greet(SSL *ssl, int *alert, void *unused) {
    (void)unused;
    const unsigned char *list;
    size_t count;
    struct extra *extra = extra_of(ssl);
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    // Two bytes of length stand before the list.
    if (!extra || SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &list, &count) != 1
        || count < 2)
        return SSL_CLIENT_HELLO_ERROR;
    list += 2, count -= 2;
    if (offers(list, count, session_name)) {
        extra->protocol = copenssl_session;
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    } else if (offers(list, count, data_name)) {
        const unsigned char *keys;
        // A full handshake for a data channel would be work for nothing.
        *alert = SSL_AD_HANDSHAKE_FAILURE;
        if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &keys, &count) != 1) return SSL_CLIENT_HELLO_ERROR;
        extra->protocol = copenssl_data;
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    } else if (offers(list, count, http_name)) {
        extra->protocol = copenssl_http;
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    } else {
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int choose_protocol(
    SSL *ssl, const unsigned char **chosen, unsigned char *chosen_count, const unsigned char *list, unsigned int count,
    void *unused) {
    (void)list, (void)count, (void)unused;
    unsigned int length;
    const unsigned char *name = name_of(extra_of(ssl)->protocol, &length);
    if (!name) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = name + 1;
    *chosen_count = name[0];
    return SSL_TLSEXT_ERR_OK;
}

// MARK: Secrets of data channels

static bool read_hex(const char *text, uint8_t *bytes, size_t count) {
    for (size_t at = 0; at < count; at++) {
        int high = OPENSSL_hexchar2int((unsigned char)text[2 * at]);
        int low = high < 0 ? -1 : OPENSSL_hexchar2int((unsigned char)text[2 * at + 1]);
        if (low < 0) return false;
        bytes[at] = (uint8_t)(high << 4 | low);
    }
    return text[2 * count] == '\0';
}

// The one way in which OpenSSL tells them: as lines of a key log. These go nowhere but to whoever takes over.
static void note_secret(const SSL *ssl, const char *line) {
    static const char of_client[] = "CLIENT_TRAFFIC_SECRET_0 ", of_server[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct extra *extra = extra_of(ssl);
    const char *secret = strrchr(line, ' ');
    if (!extra || extra->protocol != copenssl_data || !secret) return;
    if (strncmp(line, of_client, sizeof of_client - 1) == 0)
        extra->has_client_secret = read_hex(secret + 1, extra->client_secret, sizeof extra->client_secret);
    else if (strncmp(line, of_server, sizeof of_server - 1) == 0)
        extra->has_server_secret = read_hex(secret + 1, extra->server_secret, sizeof extra->server_secret);
}

bool copenssl_take_over(
    SSL *ssl, uint16_t *suite, uint8_t own[copenssl_key_bytes], uint8_t other[copenssl_key_bytes]) {
    struct extra *extra = extra_of(ssl);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    if (!extra->has_client_secret || !extra->has_server_secret || !cipher || SSL_has_pending(ssl)) return false;
    bool is_server = SSL_is_server(ssl);
    *suite = SSL_CIPHER_get_protocol_id(cipher);
    memcpy(own, is_server ? extra->server_secret : extra->client_secret, copenssl_key_bytes);
    memcpy(other, is_server ? extra->client_secret : extra->server_secret, copenssl_key_bytes);
    return true;
}

// MARK: Contexts

// What all contexts have in common, whoever made them.
static bool restrict_context(SSL_CTX *context) {
    bool is_done = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)
        && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION)
        // SHA-256 suites first: the pre-shared keys are bound to that hash.
        && SSL_CTX_set_ciphersuites(
            context, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384")
        && SSL_CTX_set1_groups_list(context, "X25519:P-256") && SSL_CTX_set1_sigalgs_list(context, "ed25519");
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    // One record at a time is taken off a socket: nothing waits inside the library that nobody counted, and what follows
    // a data channel's handshake stays there for `copenssl_take_over`.
    SSL_CTX_set_read_ahead(context, 0);
    SSL_CTX_set_max_cert_list(context, 4096);
    SSL_CTX_set_cert_verify_callback(context, verify_chain, NULL);
    return is_done;
}

static SSL_CTX *make_context(const SSL_METHOD *method, const uint8_t *seed) {
    CRYPTO_THREAD_run_once(&once, make_globals);
    SSL_CTX *context = SSL_CTX_new(method);
    if (context && socket_method && extra_index >= 0 && finder_index >= 0 && expected_index >= 0
        && restrict_context(context) && SSL_CTX_set_num_tickets(context, 0) && use_seed(context, seed)) {
        SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_mode(
            context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_keylog_callback(context, note_secret);
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *copenssl_server(
    const uint8_t seed[copenssl_key_bytes], copenssl_find_key find, void *owner, copenssl_let_go let_go) {
    SSL_CTX *context = make_context(TLS_server_method(), seed);
    struct finder *finder = OPENSSL_zalloc(sizeof *finder);
    if (!context || !finder || !SSL_CTX_set_ex_data(context, finder_index, finder)) {
        OPENSSL_free(finder);
        SSL_CTX_free(context);
        return NULL;
    }
    *finder = (struct finder){find, owner, let_go};
    SSL_CTX_set_client_hello_cb(context, greet, NULL);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_psk_find_session_callback(context, find_session);
    return context;
}

SSL_CTX *copenssl_client(const uint8_t seed[copenssl_key_bytes]) {
    SSL_CTX *context = make_context(TLS_client_method(), seed);
    if (!context) return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_psk_use_session_callback(context, use_session);
    return context;
}

bool copenssl_take_after(SSL_CTX *context, SSL_CTX *model) {
    if (!restrict_context(context) || SSL_CTX_use_certificate(context, SSL_CTX_get0_certificate(model)) != 1
        || SSL_CTX_use_PrivateKey(context, SSL_CTX_get0_privatekey(model)) != 1)
        return false;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    // Whoever built it may have been told by the environment to write secrets down.
    SSL_CTX_set_keylog_callback(context, NULL);
    guard_watch(context);
    return true;
}

void copenssl_paid(SSL *ssl) {
    if (ssl) guard_paid(ssl);
}

bool copenssl_expect(SSL_CTX *context, const uint8_t key[copenssl_key_bytes]) {
    uint8_t *copy = OPENSSL_memdup(key, copenssl_key_bytes);
    if (copy && SSL_CTX_set_ex_data(context, expected_index, copy)) return true;
    OPENSSL_free(copy);
    return false;
}

// MARK: Connections

static SSL *make_connection(SSL_CTX *context, int fd) {
    SSL *ssl = SSL_new(context);
    BIO *bio = BIO_new(socket_method);
    struct extra *extra = OPENSSL_zalloc(sizeof *extra);
    if (ssl && bio && extra && SSL_set_ex_data(ssl, extra_index, extra)) {
        extra->fd = fd;
        extra->guard = guard_new();
        SSL_set_msg_callback(ssl, guard_note);
        SSL_set_msg_callback_arg(ssl, &extra->guard);
        BIO_set_data(bio, extra);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl, bio, bio);
        return ssl;
    }
    OPENSSL_free(extra);
    BIO_free(bio);
    SSL_free(ssl);
    return NULL;
}

SSL *copenssl_accept(SSL_CTX *context, int fd) {
    SSL *ssl = make_connection(context, fd);
    if (ssl) SSL_set_accept_state(ssl);
    return ssl;
}

SSL *copenssl_connect(SSL_CTX *context, int fd, enum copenssl_protocol protocol) {
    unsigned int count;
    const unsigned char *name = name_of(protocol, &count);
    SSL *ssl = name ? make_connection(context, fd) : NULL;
    if (!ssl) return NULL;
    // Zero means done, for this one function.
    if (SSL_set_alpn_protos(ssl, name, count) != 0) {
        SSL_free(ssl);
        return NULL;
    }
    extra_of(ssl)->protocol = protocol;
    SSL_set_connect_state(ssl);
    return ssl;
}

SSL *copenssl_connect_with_key(
    SSL_CTX *context, int fd, const uint8_t identity[copenssl_identity_bytes], const uint8_t key[copenssl_key_bytes]) {
    SSL *ssl = copenssl_connect(context, fd, copenssl_data);
    if (!ssl) return NULL;
    struct extra *extra = extra_of(ssl);
    extra->offers_key = true;
    // Whoever is in between may ask for a certificate: there is none to show.
    SSL_certs_clear(ssl);
    memcpy(extra->identity, identity, sizeof extra->identity);
    memcpy(extra->key, key, sizeof extra->key);
    if (!SSL_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256")) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

enum copenssl_protocol copenssl_agreed(SSL *ssl) {
    const unsigned char *chosen;
    unsigned int count, length;
    const unsigned char *name = name_of(extra_of(ssl)->protocol, &length);
    SSL_get0_alpn_selected(ssl, &chosen, &count);
    bool is_agreed = name && count == name[0] && memcmp(chosen, name + 1, count) == 0;
    return is_agreed ? extra_of(ssl)->protocol : copenssl_none;
}

bool copenssl_used_key(SSL *ssl, uint8_t identity[copenssl_identity_bytes]) {
    if (!SSL_session_reused(ssl)) return false;
    memcpy(identity, extra_of(ssl)->identity, copenssl_identity_bytes);
    return true;
}

bool copenssl_peer_key(SSL *ssl, uint8_t key[copenssl_key_bytes]) {
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    size_t count = copenssl_key_bytes;
    return certificate && EVP_PKEY_get_raw_public_key(X509_get0_pubkey(certificate), key, &count) == 1
        && count == copenssl_key_bytes;
}

bool copenssl_export(SSL *ssl, const char *label, uint8_t *out, size_t count) {
    return SSL_export_keying_material(ssl, out, count, label, strlen(label), NULL, 0, 0) == 1;
}

bool copenssl_certificate_key(const uint8_t *der, size_t count, uint8_t key[copenssl_key_bytes]) {
    const unsigned char *at = der;
    X509 *certificate = d2i_X509(NULL, &at, (long)count);
    bool is_good = certificate && at == der + count && is_acceptable(certificate, key);
    X509_free(certificate);
    ERR_clear_error();
    return is_good;
}

size_t copenssl_certificate(SSL_CTX *context, uint8_t *der, size_t room) {
    X509 *certificate = SSL_CTX_get0_certificate(context);
    int count = certificate ? i2d_X509(certificate, NULL) : 0;
    if (count > 0 && (size_t)count <= room) i2d_X509(certificate, &der);
    return count > 0 ? (size_t)count : 0;
}

bool copenssl_read(SSL *ssl, uint8_t *bytes, size_t room, size_t *count, enum copenssl_outcome *outcome) {
    struct extra *extra = extra_of(ssl);
    extra->owes_news = false;
    // What an earlier call saw of the socket is old: there may have been an event since.
    extra->is_drained = false;
    extra->guard.left = guard_turn;
    *count = 0;
    while (*count < room) {
        size_t some;
        int result = SSL_read_ex(ssl, bytes + *count, room - *count, &some);
        if (result <= 0) {
            *outcome = copenssl_outcome_of(ssl, result);
            if (*outcome == copenssl_wants_read && guard_pauses(&extra->guard)) return true;
            extra->owes_news = *outcome != copenssl_wants_read;
            return *count > 0;
        }
        *count += some;
        extra->guard.idle = 0;
        if (extra->is_drained && !SSL_has_pending(ssl)) break;
    }
    return true;
}

bool copenssl_is_drained(SSL *ssl) {
    struct extra *extra = extra_of(ssl);
    return extra->is_drained && !extra->owes_news && !SSL_has_pending(ssl);
}

bool copenssl_write(SSL *ssl, const uint8_t *bytes, size_t all, size_t *count, enum copenssl_outcome *outcome) {
    struct extra *extra = extra_of(ssl);
    *count = 0;
    while (*count < all) {
        size_t some;
        // The other end wakes up once for all of it instead of once for each record.
        extra->is_followed = all - *count > SSL3_RT_MAX_PLAIN_LENGTH;
        int result = SSL_write_ex(ssl, bytes + *count, all - *count, &some);
        extra->is_followed = false;
        if (result <= 0) {
            *outcome = copenssl_outcome_of(ssl, result);
            return *count > 0 && *outcome != copenssl_failed;
        }
        *count += some;
    }
    return true;
}

enum copenssl_outcome copenssl_outcome_of(SSL *ssl, int result) {
    if (result > 0) return copenssl_done;
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_NONE: return copenssl_done;
    case SSL_ERROR_WANT_READ: return copenssl_wants_read;
    case SSL_ERROR_WANT_WRITE: return copenssl_wants_write;
    case SSL_ERROR_ZERO_RETURN: return copenssl_closed;
    default: return copenssl_failed;
    }
}
