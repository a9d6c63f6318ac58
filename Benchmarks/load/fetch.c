// Answers of a known size, one after the other: how long until the first byte of each, and until the last. Each on a
// new connection, some of them at once, or all on one that stays.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { most_samples = 4096, most_at_once = 64 };

// Seconds after which a transfer is broken off; how long the rest would have taken is reckoned from what came.
static const double patience = 20;

struct transfer {
    int fd;
    uint64_t missing;
    bool has_begun;
};

static double first[most_samples], whole[most_samples];
static int samples;
static char buffer[chunk];
static struct transfer transfers[most_at_once];

static void request(int fd, uint64_t bytes) {
    char text[request_bytes + 1];
    snprintf(text, sizeof text, "%c%0*llu", mode_get, request_bytes - 1, (unsigned long long)bytes);
    send_all(fd, text, request_bytes);
}

static double milliseconds(uint64_t since) { return (double)(nanoseconds() - since) / 1e6; }

static void note(struct transfer *transfer, ssize_t count, uint64_t since) {
    if (samples == most_samples) complain("too many samples");
    if (!transfer->has_begun) first[samples] = milliseconds(since);
    transfer->has_begun = true;
    transfer->missing -= (uint64_t)count;
}

// One after the other on one connection.
static void kept(const struct options *options, uint64_t end) {
    struct transfer transfer = {.fd = dial_to(options->host, options->port, true)};
    for (int count = 0; count <= options->count && (count < 3 || nanoseconds() < end); count++) {
        uint64_t since = nanoseconds();
        request(transfer.fd, options->bytes);
        transfer.missing = options->bytes;
        transfer.has_begun = false;
        while (transfer.missing > 0) {
            ssize_t got = recv(transfer.fd, buffer, sizeof buffer, 0);
            if (got <= 0) complain("an answer broke off");
            note(&transfer, got, since);
        }
        whole[samples] = milliseconds(since);
        // The first one shows how the connection came about.
        if (count > 0) samples++;
    }
    close(transfer.fd);
}

static uint64_t missing(int connections) {
    uint64_t sum = 0;
    for (int index = 0; index < connections; index++) sum += transfers[index].missing;
    return sum;
}

static void advance(struct transfer *transfer, int epoll, struct epoll_event *event, uint64_t bytes, uint64_t since) {
    if (event->events & EPOLLOUT) {
        request(transfer->fd, bytes);
        event->events = EPOLLIN;
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, transfer->fd, event) != 0) fail("epoll_ctl");
        return;
    }
    ssize_t got = recv(transfer->fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) complain("an answer broke off");
    note(transfer, got, since);
    if (transfer->missing == 0 && epoll_ctl(epoll, EPOLL_CTL_DEL, transfer->fd, NULL) != 0) fail("epoll_ctl");
}

// All begin at once, and the last to end counts; so does the first byte of the last to get one.
static void together(const struct options *options) {
    int epoll = make_epoll(), connections = options->connections;
    uint64_t since = nanoseconds(), all = options->bytes * (uint64_t)connections, rest = all;
    for (int index = 0; index < connections; index++) {
        int fd = begin_to_dial(options->host, options->port);
        transfers[index] = (struct transfer){.fd = fd, .missing = options->bytes};
        watch(epoll, fd, EPOLLOUT, (uint32_t)index);
    }
    while ((rest = missing(connections)) > 0 && milliseconds(since) < patience * 1000) {
        struct epoll_event events[most_at_once];
        int count = epoll_wait(epoll, events, most_at_once, 1000);
        for (int index = 0; index < count; index++)
            advance(&transfers[events[index].data.u32], epoll, &events[index], options->bytes, since);
    }
    if (rest == all) complain("no answer came in time");
    whole[samples++] = milliseconds(since) * (double)all / (double)(all - rest);
    for (int index = 0; index < connections; index++) close(transfers[index].fd);
    close(epoll);
}

static int ascending(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static double share(const double *sorted, double part) { return sorted[(int)(part * (samples - 1) + 0.5)]; }

void fetch(const struct options *options) {
    uint64_t end = nanoseconds() + (uint64_t)(options->seconds * 1e9);
    struct timespec pause = {.tv_sec = (time_t)options->pause, .tv_nsec = (long)(options->pause * 1e9) % 1000000000};
    if (options->connections > most_at_once || options->count >= most_samples) complain("too many at once");
    say_begin();
    if (options->is_kept) kept(options, end);
    else
        for (int count = 0; count < options->count && (count == 0 || nanoseconds() < end); count++) {
            if (count > 0) nanosleep(&pause, NULL);
            together(options);
        }
    say_end();
    qsort(first, (size_t)samples, sizeof *first, ascending);
    qsort(whole, (size_t)samples, sizeof *whole, ascending);
    printf("{\"operations\": %d, \"first_p50_ms\": %.3f, \"first_p90_ms\": %.3f, \"whole_p50_ms\": %.3f, "
           "\"whole_p90_ms\": %.3f}\n",
        samples, share(first, 0.5), share(first, 0.9), share(whole, 0.5), share(whole, 0.9));
}
