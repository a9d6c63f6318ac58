// The service behind everything that is measured.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

// By descriptor: 0 until the first byte was read, or the mode.
static char mode_of[most_connections];
static char buffer[chunk];
static struct stats stats;
static int epoll, listeners;
// Of an answer: what is still to be sent.
static uint64_t owed[most_connections];

static void listen_on(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) complain("not an IPv4 address");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Accepted sockets inherit it.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
    if (listen(fd, 4096) != 0) fail("listen");
    watch(epoll, fd, EPOLLIN, (uint32_t)fd);
    // Listeners come first, so their descriptors are the lowest.
    listeners = fd + 1;
}

static void take(int listener) {
    for (int count = 0; count < 64; count++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (fd >= most_connections) {
            close(fd);
            return;
        }
        mode_of[fd] = 0;
        owed[fd] = 0;
        stats.open++;
        watch(epoll, fd, EPOLLIN, (uint32_t)fd);
    }
}

static void drop(int fd) {
    close(fd);
    stats.open--;
}

static void tell(int fd) {
    char line[64];
    int count = snprintf(line, sizeof line, "%llu %llu %llu\n", stats.uploaded, stats.open - 1, stats.poured);
    send(fd, line, (size_t)count, MSG_NOSIGNAL);
    drop(fd);
}

// What does not fit is waited for: echoes are small, and the visitor has one on its way at a time.
static void echo(int fd) {
    ssize_t count = recv(fd, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0 || send(fd, buffer, (size_t)count, MSG_NOSIGNAL) != count) drop(fd);
}

// Without copying what nobody looks at (tcp(7), MSG_TRUNC).
static void swallow(int fd) {
    ssize_t count = recv(fd, NULL, 4 * chunk, MSG_TRUNC);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return drop(fd);
    stats.uploaded += (unsigned long long)count;
}

static void pour(int fd) {
    ssize_t count = send(fd, buffer, sizeof buffer, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) return drop(fd);
    if (count > 0) stats.poured += (unsigned long long)count;
}

static void await(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)fd};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0) fail("epoll_ctl");
}

// A request arrives whole, for it is short, and only when the last one is answered.
static void answer(int fd) {
    if (owed[fd] == 0) {
        char text[request_bytes + 1] = {0};
        ssize_t count = recv(fd, text, request_bytes, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count != request_bytes) return drop(fd);
        owed[fd] = strtoull(text + 1, NULL, 10);
        await(fd, EPOLLOUT);
    }
    while (owed[fd] > 0) {
        ssize_t count = send(fd, buffer, owed[fd] < sizeof buffer ? (size_t)owed[fd] : sizeof buffer, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) return drop(fd);
        owed[fd] -= (uint64_t)count;
    }
    await(fd, EPOLLIN);
}

static void begin(int fd) {
    char mode;
    ssize_t count = recv(fd, &mode, 1, MSG_PEEK);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return drop(fd);
    mode_of[fd] = mode;
    switch (mode) {
    case mode_echo: return echo(fd);
    case mode_upload: return swallow(fd);
    case mode_stats: return tell(fd);
    case mode_download: return await(fd, EPOLLOUT);
    case mode_get: return answer(fd);
    default: return drop(fd);
    }
}

void serve(const struct options *options) {
    epoll = make_epoll();
    memset(buffer, 'x', sizeof buffer);
    for (int port = options->port; port < options->port + options->ports; port++)
        listen_on(options->host, port);
    answer_datagrams(options->host, options->port);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int index = 0; index < count; index++) {
            int fd = (int)events[index].data.u32;
            if (fd < listeners) {
                take(fd);
                continue;
            }
            switch (mode_of[fd]) {
            case mode_echo: echo(fd); break;
            case mode_upload: swallow(fd); break;
            case mode_download: pour(fd); break;
            case mode_get: answer(fd); break;
            default: begin(fd);
            }
        }
    }
}
