#include "Guard.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>

void guard_note(int is_written, int version, int type, const void *bytes, size_t count, SSL *ssl, void *owner) {
    (void)version, (void)ssl;
    struct guard *guard = owner;
    if (is_written || !guard) return;
    if (type == SSL3_RT_HEADER) {
        guard->idle++;
        guard->left--;
        guard->is_first = true;
    } else if (type == SSL3_RT_HANDSHAKE) {
        if (!guard->is_first) guard->idle++;
        guard->left -= guard_message_cost - 1;
        guard->is_first = false;
        // What follows the handshake is counted by itself.
        if (count > 0 && *(const unsigned char *)bytes == SSL3_MT_FINISHED) guard->idle = 0;
    }
}

// MARK: Connections of others. A filter between the library and their socket refuses what is too much.

static BIO_METHOD *filter_method;
static int filter_type;
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

static int read_next(BIO *bio, char *bytes, int count) {
    BIO *next = BIO_next(bio);
    BIO_clear_retry_flags(bio);
    if (!next || guard_refuses(BIO_get_data(bio))) return -1;
    int got = BIO_read(next, bytes, count);
    BIO_copy_next_retry(bio);
    return got;
}

static long control_next(BIO *bio, int command, long number, void *pointer) {
    BIO *next = BIO_next(bio);
    return next ? BIO_ctrl(next, command, number, pointer) : 0;
}

static int free_guard(BIO *bio) {
    OPENSSL_free(BIO_get_data(bio));
    BIO_set_data(bio, NULL);
    return 1;
}

static void make_method(void) {
    filter_type = BIO_get_new_index() | BIO_TYPE_FILTER;
    BIO_METHOD *method = BIO_meth_new(filter_type, "p2prc guard");
    if (method && BIO_meth_set_read(method, read_next) && BIO_meth_set_ctrl(method, control_next)
        && BIO_meth_set_destroy(method, free_guard))
        filter_method = method;
    else
        BIO_meth_free(method);
}

// What reads of a connection go through from now on; NULL when there is no memory.
static struct guard *put_filter(SSL *ssl) {
    BIO *next = SSL_get_rbio(ssl), *filter = filter_method ? BIO_new(filter_method) : NULL;
    struct guard *guard = OPENSSL_malloc(sizeof *guard);
    if (!filter || !guard || !next) {
        OPENSSL_free(guard);
        BIO_free(filter);
        return NULL;
    }
    *guard = guard_new();
    BIO_set_data(filter, guard);
    BIO_set_init(filter, 1);
    BIO_up_ref(next);
    SSL_set0_rbio(ssl, BIO_push(filter, next));
    return guard;
}

// The first message of a connection, which is its own: nothing was read by then.
static void begin(int is_written, int version, int type, const void *bytes, size_t count, SSL *ssl, void *unused) {
    (void)unused;
    struct guard *guard = put_filter(ssl);
    // Without a guard nothing is read.
    if (!guard) SSL_set0_rbio(ssl, NULL);
    SSL_set_msg_callback(ssl, guard_note);
    SSL_set_msg_callback_arg(ssl, guard);
    guard_note(is_written, version, type, bytes, count, ssl, guard);
}

void guard_watch(SSL_CTX *context) {
    CRYPTO_THREAD_run_once(&once, make_method);
    SSL_CTX_set_msg_callback(context, begin);
}

void guard_paid(SSL *ssl) {
    BIO *bio = SSL_get_rbio(ssl);
    bool is_ours = bio && filter_method && BIO_method_type(bio) == filter_type;
    struct guard *guard = is_ours ? BIO_get_data(bio) : NULL;
    if (guard) guard->idle = 0;
}
