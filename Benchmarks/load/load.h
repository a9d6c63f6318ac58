// The load generators of the benchmark: one service, and visitors that measure. Each visitor is one thread with one
// epoll loop and tables of fixed size; nothing is allocated for an operation. All speak to 127.0.0.1 unless they are
// told another address, as in network namespaces of the benchmark's own.
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    // What the first byte of a connection asks of the service.
    mode_echo = 'e',      // send everything back, this byte too
    mode_upload = 'u',    // count and drop everything
    mode_download = 'd',  // send until the visitor closes
    mode_get = 'g',       // a number of 11 digits follows: send so many bytes, then take the next request
    mode_stats = 's',     // one line: bytes uploaded, connections open beside this one, bytes downloaded
    most_connections = 16384,
    chunk = 262144,
    message = 64,
    request_bytes = 12,
};

struct options {
    int port;         // of what is measured
    int service;      // of the service itself, past what is measured
    int ports;        // for the service: how many, from the first on
    int connections;  // at once
    const char *host; // IPv4: where the port is, or for the service: where it listens
    int count;        // how many times at most
    uint64_t bytes;   // of an answer, or of a download until it stalls
    bool is_download;
    bool is_kept;     // all on one connection
    double pause;     // seconds between two
    double seconds;  // measured, after
    double warm;     // seconds that are not
};

void serve(const struct options *options);
void bulk(const struct options *options);
void ping(const struct options *options);
void churn(const struct options *options);
void hold(const struct options *options);
void fetch(const struct options *options);
void stall(const struct options *options);
void echo_datagrams(const struct options *options);
void flood(const struct options *options);
// The service's thread for datagrams: by their first byte they are echoed, or counted and dropped, or answered by the
// count.
void answer_datagrams(const char *host, int port);

// common.c: failures end the program with one line and exit code 1.
_Noreturn void fail(const char *what);
_Noreturn void complain(const char *text);
uint64_t nanoseconds(void);
// Blocking until it is connected; then non-blocking if so wished.
int dial(int port, bool is_blocking);
int dial_to(const char *host, int port, bool is_blocking);
// Non-blocking; writable when it is connected.
int begin_to_dial(const char *host, int port);
void send_all(int fd, const void *bytes, size_t count);
void receive_all(int fd, void *bytes, size_t count);
void reset_on_close(int fd);
int make_epoll(void);
void watch(int epoll, int fd, uint32_t events, uint32_t data);
// Lines that the runner waits for: it reads its counters at both.
void say_begin(void);
void say_end(void);
struct stats {
    unsigned long long uploaded;
    unsigned long long open;
    unsigned long long poured;
};
struct stats ask(int service);

#endif
