#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

void complain(const char *text) {
    fprintf(stderr, "load: %s\n", text);
    exit(1);
}

void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct sockaddr_in address_of(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) complain("not an IPv4 address");
    return address;
}

static int make_socket(int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    if (fd < 0) fail("socket");
    if (fd >= most_connections) complain("too many connections");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int dial_to(const char *host, int port, bool is_blocking) {
    struct sockaddr_in address = address_of(host, port);
    int fd = make_socket(0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    if (!is_blocking && fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
    return fd;
}

int dial(int port, bool is_blocking) { return dial_to("127.0.0.1", port, is_blocking); }

int begin_to_dial(const char *host, int port) {
    struct sockaddr_in address = address_of(host, port);
    int fd = make_socket(SOCK_NONBLOCK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) fail("connect");
    return fd;
}

void send_all(int fd, const void *bytes, size_t count) {
    if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) fail("send");
}

void receive_all(int fd, void *bytes, size_t count) {
    ssize_t got = recv(fd, bytes, count, MSG_WAITALL);
    if (got < 0) fail("recv");
    if (got != (ssize_t)count) complain("the connection ended early");
}

void reset_on_close(int fd) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

int make_epoll(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    return epoll;
}

void watch(int epoll, int fd, uint32_t events, uint32_t data) {
    struct epoll_event event = {.events = events, .data.u32 = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

void say_begin(void) {
    puts("begin");
    fflush(stdout);
}

void say_end(void) {
    puts("end");
    fflush(stdout);
}

struct stats ask(int service) {
    char line[64] = {0}, mode = mode_stats;
    struct stats stats;
    int fd = dial(service, true);
    send_all(fd, &mode, 1);
    // One short line in one send: it arrives whole.
    if (recv(fd, line, sizeof line - 1, 0) <= 0 ||
        sscanf(line, "%llu %llu %llu", &stats.uploaded, &stats.open, &stats.poured) != 3)
        complain("the service does not tell its counters");
    close(fd);
    return stats;
}
