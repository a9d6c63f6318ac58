// New connections: connect, a byte there, a byte back, close; some of them under way at a time.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "histogram.h"
#include "load.h"

struct attempt {
    int fd;
    bool has_sent;
    uint64_t since;
};

static struct attempt attempts[1024];
static struct histogram histogram;
static unsigned long long failures;
static struct sockaddr_in address;
static int epoll;

static void begin(struct attempt *attempt) {
    attempt->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0) fail("socket");
    attempt->has_sent = false;
    attempt->since = nanoseconds();
    if (connect(attempt->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) fail("connect");
    watch(epoll, attempt->fd, EPOLLIN | EPOLLOUT | EPOLLET, (uint32_t)(attempt - attempts));
}

static void finish(struct attempt *attempt, bool is_good) {
    if (is_good) note(&histogram, nanoseconds() - attempt->since);
    else failures++;
    close(attempt->fd);
    begin(attempt);
}

static void advance(struct attempt *attempt, uint32_t events) {
    char byte = mode_echo;
    if (events & (EPOLLERR | EPOLLHUP)) return finish(attempt, false);
    if (!attempt->has_sent && events & EPOLLOUT) {
        if (send(attempt->fd, &byte, 1, MSG_NOSIGNAL) != 1) return finish(attempt, false);
        attempt->has_sent = true;
    }
    if (events & EPOLLIN) {
        ssize_t count = recv(attempt->fd, &byte, 1, 0);
        if (count < 0 && errno == EAGAIN) return;
        finish(attempt, count == 1 && byte == mode_echo);
    }
}

static void run(double seconds) {
    uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9);
    while (nanoseconds() < end) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, 100);
        for (int index = 0; index < count; index++) advance(&attempts[events[index].data.u32], events[index].events);
    }
}

void churn(const struct options *options) {
    if (options->connections > 1024) complain("at most 1024 at a time");
    epoll = make_epoll();
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int index = 0; index < options->connections; index++) begin(&attempts[index]);
    run(options->warm);
    histogram = (struct histogram){0};
    failures = 0;
    say_begin();
    uint64_t start = nanoseconds();
    run(options->seconds);
    double seconds = (double)(nanoseconds() - start) / 1e9;
    say_end();
    printf("{\"operations\": %llu, \"failures\": %llu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
        (unsigned long long)histogram.total, failures, seconds, percentile(&histogram, 0.5),
        percentile(&histogram, 0.99));
}
