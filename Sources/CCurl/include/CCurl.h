// libcurl (its multi interface) for Swift: one request to another node over HTTPS as a value, and how it ended. Here is
// what variadic functions, callbacks and TLS hooks need; what is asked of whom, and why, is decided elsewhere.
#ifndef CCURL_H
#define CCURL_H

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ccurl_key_bytes = 32, ccurl_header_bytes = 512, ccurl_address_bytes = 46 };

/// What is asked. Everything is copied.
struct ccurl_request {
    /// https, with a host that is numeric wherever it is on others' word.
    const char *url;
    /// To be posted; NULL asks with GET.
    const uint8_t *body;
    size_t body_count;
    /// A header line of this node's, NULL for none; and the name of the one of the answer that is kept.
    const char *header;
    const char *kept_header;
    /// The node key that must be at the other end; NULL takes any node's.
    const uint8_t *key;
    /// Milliseconds.
    long connect_limit;
    long total_limit;
    /// A longer answer ends the request.
    size_t answer_limit;
    /// On a connection of its own, which nobody uses before or after.
    bool is_alone;
    /// The port of this end, which several connections to different nodes may have at once; 0 for any.
    long local_port;
};

enum ccurl_ending {
    ccurl_answered,
    /// No connection, or none in time.
    ccurl_unreachable,
    ccurl_late,
    /// It is no node, not the one with that key, or does not speak HTTP/1.1.
    ccurl_stranger,
    ccurl_too_long,
    ccurl_broken,
};

/// How it ended. Pointers hold until the transfer is freed.
struct ccurl_result {
    enum ccurl_ending ending;
    const char *reason;
    long status;
    const uint8_t *bytes;
    size_t count;
    const char *kept_header;
    bool has_key;
    uint8_t key[ccurl_key_bytes];
    /// Microseconds since the start: until the address was known, until the TCP connection stood, until TLS did, until
    /// the request could go out, until the first byte of the answer came, until the end. The first three mean nothing
    /// on a connection that was there already.
    int64_t resolved, connected, secured, ready, answered, ended;
    bool is_reused;
    const char *remote_host, *local_host;
    long remote_port, local_port;
};

struct ccurl_transfer;

/// Once in a process, before anything else; takes SSLKEYLOGFILE out of the environment. False when the library cannot be
/// used.
bool ccurl_prepare(void);
/// Keeps so many connections at most for further requests.
CURLM *ccurl_multi(long connections);
/// Begins a request, to be freed before `multi`; NULL when there is no memory. The context is the one whose certificate,
/// ciphers and checks the connection takes over (`copenssl_client`); the transfer keeps a reference to it.
struct ccurl_transfer *ccurl_start(CURLM *multi, SSL_CTX *model, const struct ccurl_request *request, uint64_t number);
/// Moves on whatever can; what has ended by then is there for `ccurl_next`.
bool ccurl_perform(CURLM *multi);
/// Waits for something to happen, for `milliseconds` at most, or for `curl_multi_wakeup`.
bool ccurl_wait(CURLM *multi, int milliseconds);
/// A transfer that has ended, with the number it was begun with; NULL for none. It is to be freed.
struct ccurl_transfer *ccurl_next(CURLM *multi, uint64_t *number);
struct ccurl_result ccurl_result(struct ccurl_transfer *transfer);
/// Ends it where it has not ended.
void ccurl_free(struct ccurl_transfer *transfer);

#endif
