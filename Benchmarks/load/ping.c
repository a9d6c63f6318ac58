// A message of 64 bytes there and back, the next one when it is back, on each of some connections.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "histogram.h"
#include "load.h"

struct talk {
    int fd;
    int missing;
    uint64_t since;
};

static struct talk talks[most_connections];
static struct histogram histogram;
static char bytes[message];

static void ask_next(struct talk *talk) {
    talk->since = nanoseconds();
    talk->missing = message;
    send_all(talk->fd, bytes, message);
}

// One connection needs no epoll: a blocking read is the shortest way.
static void alone(uint64_t end) {
    char back[message];
    do {
        ask_next(&talks[0]);
        receive_all(talks[0].fd, back, message);
        note(&histogram, nanoseconds() - talks[0].since);
    } while (talks[0].since < end);
}

static void together(int epoll, uint64_t end) {
    char back[message];
    uint64_t now = nanoseconds();
    while (now < end) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, 1000);
        for (int index = 0; index < count; index++) {
            struct talk *talk = &talks[events[index].data.u32];
            ssize_t got = recv(talk->fd, back, (size_t)talk->missing, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) complain("a connection broke off");
            talk->missing -= (int)got;
            if (talk->missing > 0) continue;
            note(&histogram, nanoseconds() - talk->since);
            ask_next(talk);
        }
        now = nanoseconds();
    }
}

static void run(const struct options *options, int epoll, double seconds) {
    uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9);
    if (options->connections == 1) alone(end);
    else together(epoll, end);
}

void ping(const struct options *options) {
    int epoll = make_epoll();
    memset(bytes, mode_echo, sizeof bytes);
    for (int index = 0; index < options->connections; index++) {
        talks[index].fd = dial(options->port, true);
        if (options->connections > 1) {
            watch(epoll, talks[index].fd, EPOLLIN, (uint32_t)index);
            ask_next(&talks[index]);
        }
    }
    run(options, epoll, options->warm);
    memset(&histogram, 0, sizeof histogram);
    say_begin();
    uint64_t begin = nanoseconds();
    run(options, epoll, options->seconds);
    double seconds = (double)(nanoseconds() - begin) / 1e9;
    say_end();
    if (histogram.total == 0) complain("no answer came in time");
    printf("{\"operations\": %llu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f}\n",
        (unsigned long long)histogram.total, seconds, percentile(&histogram, 0.5), percentile(&histogram, 0.99),
        percentile(&histogram, 0.999));
}
