#include "CCurl.h"

#include "COpenSSL.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct ccurl_transfer {
    CURLM *multi;
    CURL *easy;
    // A reference of its own: a connection takes it over when its turn comes, whatever the owner shows by then.
    SSL_CTX *model;
    // The connection that the request goes over, from `look` on.
    SSL *ssl;
    struct curl_slist *headers;
    uint64_t number;
    CURLcode code;
    char error[CURL_ERROR_SIZE];
    bool has_pin, has_key, is_stranger, is_too_long;
    uint8_t pin[ccurl_key_bytes], key[ccurl_key_bytes];
    uint8_t *bytes;
    size_t count, room, limit, header_total;
    char wanted[64], kept[ccurl_header_bytes];
    char remote_host[ccurl_address_bytes], local_host[ccurl_address_bytes];
    long remote_port, local_port;
};

bool ccurl_prepare(void) {
    // libcurl would write the secrets of all its connections there, in a file that others may read.
    return unsetenv("SSLKEYLOGFILE") == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

CURLM *ccurl_multi(long connections) {
    CURLM *multi = curl_multi_init();
    if (!multi) return NULL;
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return multi;
}

// MARK: TLS

// libcurl makes a context for each connection; it becomes like the model, and accepts nobody but the key that is wanted.
// So it is judged inside the handshake, before this node shows its own certificate.
static CURLcode dress(CURL *easy, void *context, void *owner) {
    (void)easy;
    struct ccurl_transfer *transfer = owner;
    bool is_done = copenssl_take_after(context, transfer->model)
        && (!transfer->has_pin || copenssl_expect(context, transfer->pin));
    return is_done ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

// Before the request goes out, on a new connection and on one that was there already: who is at the other end.
static int look(void *owner, char *remote, char *local, int remote_port, int local_port) {
    struct ccurl_transfer *transfer = owner;
    struct curl_tlssessioninfo *tls = NULL;
    const unsigned char *protocol = NULL;
    unsigned int length = 0;
    snprintf(transfer->remote_host, sizeof transfer->remote_host, "%s", remote ? remote : "");
    snprintf(transfer->local_host, sizeof transfer->local_host, "%s", local ? local : "");
    transfer->remote_port = remote_port;
    transfer->local_port = local_port;
    transfer->is_stranger = true;
    if (curl_easy_getinfo(transfer->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls
        || tls->backend != CURLSSLBACKEND_OPENSSL || !tls->internals)
        return CURL_PREREQFUNC_ABORT;
    SSL *ssl = tls->internals;
    transfer->ssl = ssl;
    if (!copenssl_peer_key(ssl, transfer->key)) return CURL_PREREQFUNC_ABORT;
    transfer->has_key = true;
    if (transfer->has_pin && memcmp(transfer->pin, transfer->key, sizeof transfer->pin) != 0) return CURL_PREREQFUNC_ABORT;
    SSL_get0_alpn_selected(ssl, &protocol, &length);
    if (length != 8 || memcmp(protocol, "http/1.1", 8) != 0) return CURL_PREREQFUNC_ABORT;
    transfer->is_stranger = false;
    return CURL_PREREQFUNC_OK;
}

// A pin as libcurl writes it: the digest of the key in DER (RFC 8410, section 4). The key itself is judged by the two
// above; this tells libcurl which connections it may use again for whom.
static bool write_pin(const uint8_t *key, char *out, size_t room) {
    static const uint8_t head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    uint8_t der[sizeof head + ccurl_key_bytes], digest[EVP_MAX_MD_SIZE];
    unsigned int count = 0;
    char text[64];
    memcpy(der, head, sizeof head);
    memcpy(der + sizeof head, key, ccurl_key_bytes);
    if (EVP_Digest(der, sizeof der, digest, &count, EVP_sha256(), NULL) != 1) return false;
    EVP_EncodeBlock((unsigned char *)text, digest, (int)count);
    return snprintf(out, room, "sha256//%s", text) < (int)room;
}

// MARK: Bytes of the answer

static size_t take(char *bytes, size_t size, size_t count, void *owner) {
    struct ccurl_transfer *transfer = owner;
    size_t added = size * count;
    copenssl_paid(transfer->ssl);
    if (added > transfer->limit - transfer->count) {
        transfer->is_too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (transfer->count + added > transfer->room) {
        size_t room = transfer->room * 2 + added;
        if (room > transfer->limit) room = transfer->limit;
        uint8_t *larger = realloc(transfer->bytes, room);
        if (!larger) return CURL_WRITEFUNC_ERROR;
        transfer->bytes = larger;
        transfer->room = room;
    }
    memcpy(transfer->bytes + transfer->count, bytes, added);
    transfer->count += added;
    return added;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *owner) {
    struct ccurl_transfer *transfer = owner;
    size_t added = size * count, name = strlen(transfer->wanted);
    copenssl_paid(transfer->ssl);
    transfer->header_total += added;
    // No node of ours says so much.
    if (transfer->header_total > 16384) {
        transfer->is_too_long = true;
        return 0;
    }
    if (name == 0 || added <= name + 1 || strncasecmp(bytes, transfer->wanted, name) != 0 || bytes[name] != ':') return added;
    size_t start = name + 1, end = added;
    while (start < end && bytes[start] == ' ') start++;
    while (end > start && (bytes[end - 1] == '\n' || bytes[end - 1] == '\r' || bytes[end - 1] == ' ')) end--;
    if (end - start < sizeof transfer->kept) {
        memcpy(transfer->kept, bytes + start, end - start);
        transfer->kept[end - start] = 0;
    }
    return added;
}

// MARK: Transfers

// Before the socket is bound: others with this port may be there, or may have been a moment ago.
static int share_port(void *owner, curl_socket_t socket, curlsocktype purpose) {
    int yes = 1;
    (void)owner, (void)purpose;
    return setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
}

static bool add_header(struct ccurl_transfer *transfer, const char *line) {
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer) transfer->headers = longer;
    return longer != NULL;
}

static bool describe(struct ccurl_transfer *transfer, const struct ccurl_request *request) {
    CURL *easy = transfer->easy;
    // What libcurl would read from the environment and the disk is switched off by name: proxies, certificates of
    // authorities, passwords. Its own checks of names and chains mean nothing for nodes; `dress` and `look` are in
    // their place.
    bool is_set = curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)(CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3)) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, dress) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, look) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->connect_limit) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->total_limit) == CURLE_OK
        // Below what the other end keeps an idle connection for.
        && curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, 8L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error) == CURLE_OK
        && curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK;
    if (!is_set) return false;
    if (request->key) {
        char pin[80];
        memcpy(transfer->pin, request->key, sizeof transfer->pin);
        transfer->has_pin = true;
        if (!write_pin(request->key, pin, sizeof pin)
            || curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, pin) != CURLE_OK)
            return false;
    }
    if (request->is_alone
        && (curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK
            || curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) != CURLE_OK))
        return false;
    if (request->local_port
        && (curl_easy_setopt(easy, CURLOPT_LOCALPORT, request->local_port) != CURLE_OK
            || curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, share_port) != CURLE_OK))
        return false;
    if (request->body) {
        // No pause in which the other end is asked whether it wants the body (RFC 9110, section 10.1.1).
        if (!add_header(transfer, "Content-Type: application/octet-stream") || !add_header(transfer, "Expect:")
            || curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_count) != CURLE_OK
            || curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body) != CURLE_OK)
            return false;
    }
    if (request->header && !add_header(transfer, request->header)) return false;
    if (request->kept_header) snprintf(transfer->wanted, sizeof transfer->wanted, "%s", request->kept_header);
    return curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
}

static void release(struct ccurl_transfer *transfer) {
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    SSL_CTX_free(transfer->model);
    free(transfer->bytes);
    free(transfer);
}

struct ccurl_transfer *ccurl_start(CURLM *multi, SSL_CTX *model, const struct ccurl_request *request, uint64_t number) {
    struct ccurl_transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer) return NULL;
    if (SSL_CTX_up_ref(model) != 1) {
        free(transfer);
        return NULL;
    }
    transfer->multi = multi;
    transfer->easy = curl_easy_init();
    transfer->model = model;
    transfer->number = number;
    transfer->limit = request->answer_limit;
    transfer->code = CURLE_OK;
    if (transfer->easy && describe(transfer, request) && curl_multi_add_handle(multi, transfer->easy) == CURLM_OK)
        return transfer;
    release(transfer);
    return NULL;
}

bool ccurl_perform(CURLM *multi) {
    int running = 0;
    return curl_multi_perform(multi, &running) == CURLM_OK;
}

bool ccurl_wait(CURLM *multi, int milliseconds) {
    return curl_multi_poll(multi, NULL, 0, milliseconds, NULL) == CURLM_OK;
}

struct ccurl_transfer *ccurl_next(CURLM *multi, uint64_t *number) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct ccurl_transfer *transfer = (struct ccurl_transfer *)(void *)private;
        transfer->code = code;
        *number = transfer->number;
        return transfer;
    }
    return NULL;
}

static enum ccurl_ending ending_of(const struct ccurl_transfer *transfer) {
    if (transfer->is_too_long) return ccurl_too_long;
    if (transfer->is_stranger) return ccurl_stranger;
    switch (transfer->code) {
    case CURLE_OK: return ccurl_answered;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST: return ccurl_unreachable;
    case CURLE_OPERATION_TIMEDOUT: return ccurl_late;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH: return ccurl_stranger;
    default: return ccurl_broken;
    }
}

static int64_t time_of(CURL *easy, CURLINFO info) {
    curl_off_t time = 0;
    return curl_easy_getinfo(easy, info, &time) == CURLE_OK ? (int64_t)time : 0;
}

struct ccurl_result ccurl_result(struct ccurl_transfer *transfer) {
    CURL *easy = transfer->easy;
    struct ccurl_result result = {0};
    long made = 0;
    result.ending = ending_of(transfer);
    result.reason = transfer->error[0] ? transfer->error : curl_easy_strerror(transfer->code);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &result.status);
    result.bytes = transfer->bytes;
    result.count = transfer->count;
    result.kept_header = transfer->kept;
    result.has_key = transfer->has_key;
    memcpy(result.key, transfer->key, sizeof result.key);
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &made);
    result.is_reused = made == 0;
    result.resolved = time_of(easy, CURLINFO_NAMELOOKUP_TIME_T);
    result.connected = time_of(easy, CURLINFO_CONNECT_TIME_T);
    result.secured = time_of(easy, CURLINFO_APPCONNECT_TIME_T);
    result.ready = time_of(easy, CURLINFO_PRETRANSFER_TIME_T);
    result.answered = time_of(easy, CURLINFO_STARTTRANSFER_TIME_T);
    result.ended = time_of(easy, CURLINFO_TOTAL_TIME_T);
    result.remote_host = transfer->remote_host;
    result.local_host = transfer->local_host;
    result.remote_port = transfer->remote_port;
    result.local_port = transfer->local_port;
    return result;
}

void ccurl_free(struct ccurl_transfer *transfer) {
    curl_multi_remove_handle(transfer->multi, transfer->easy);
    release(transfer);
}
