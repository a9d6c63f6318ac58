// Datagrams: the service's part, echoes with so many in flight, and floods that are counted where they arrive.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "histogram.h"
#include "load.h"

enum {
    batch = 64,
    longest = 2048,
    most_flows = 1024,
    most_in_flight = 256,
    // A datagram that is not back by then is lost.
    patience_ms = 50,
};

// A batch of messages with room of their own.
struct mail {
    struct mmsghdr headers[batch];
    struct iovec rooms[batch];
    struct sockaddr_in names[batch];
    char bytes[batch][longest];
};

static void prepare(struct mail *mail, size_t length, bool has_names) {
    for (int at = 0; at < batch; at++) {
        mail->rooms[at] = (struct iovec){mail->bytes[at], length};
        mail->headers[at].msg_hdr = (struct msghdr){.msg_iov = &mail->rooms[at], .msg_iovlen = 1};
        if (has_names) {
            mail->headers[at].msg_hdr.msg_name = &mail->names[at];
            mail->headers[at].msg_hdr.msg_namelen = sizeof mail->names[at];
        }
    }
}

static int datagram_socket(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;
    if (fd < 0) fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return fd;
}

static struct sockaddr_in address_of(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) complain("not an IPv4 address");
    return address;
}

// MARK: The service

static unsigned long long arrived;

static void *answer(void *argument) {
    int fd = *(int *)argument;
    struct mail *mail = calloc(1, sizeof *mail);
    if (!mail) fail("calloc");
    for (;;) {
        prepare(mail, longest, true);
        int count = recvmmsg(fd, mail->headers, batch, MSG_WAITFORONE, NULL), answers = 0;
        if (count < 0) continue;
        for (int at = 0; at < count; at++) {
            size_t length = mail->headers[at].msg_len;
            char mode = length > 0 ? mail->bytes[at][0] : mode_upload;
            if (mode == mode_upload) {
                arrived++;
                continue;
            }
            if (mode == mode_stats) length = (size_t)snprintf(mail->bytes[at], longest, "%llu", arrived);
            mail->rooms[at].iov_len = length;
            // Those that are answered, one after the other.
            if (answers != at) {
                struct mmsghdr other = mail->headers[answers];
                mail->headers[answers] = mail->headers[at];
                mail->headers[at] = other;
            }
            answers++;
        }
        for (int done = 0; done < answers;) {
            int now = sendmmsg(fd, mail->headers + done, (unsigned)(answers - done), MSG_NOSIGNAL);
            done += now > 0 ? now : 1;
        }
    }
    return NULL;
}

void answer_datagrams(const char *host, int port) {
    static int fd;
    pthread_t thread;
    struct sockaddr_in address = address_of(host, port);
    fd = datagram_socket();
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
    if (pthread_create(&thread, NULL, answer, &fd) != 0) complain("no thread");
}

static unsigned long long ask_arrived(int service) {
    struct sockaddr_in address = address_of("127.0.0.1", service);
    struct timeval limit = {.tv_sec = 1};
    char text[64] = {0};
    int fd = datagram_socket();
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    for (int tries = 0; tries < 20; tries++) {
        char mode = mode_stats;
        send(fd, &mode, 1, MSG_NOSIGNAL);
        if (recv(fd, text, sizeof text - 1, 0) > 0) {
            close(fd);
            return strtoull(text, NULL, 10);
        }
    }
    complain("the service does not answer datagrams");
}

// MARK: Echoes

struct flow {
    int fd;
    int in_flight;
    uint64_t last;
};

static struct flow flows[most_flows];
static struct histogram histogram;
static unsigned long long lost;
static int epoll;
static size_t length_of_each;

static void send_some(struct flow *flow, int count) {
    static struct mail mail;
    uint64_t now = nanoseconds();
    prepare(&mail, length_of_each, false);
    while (count > 0) {
        int some = count < batch ? count : batch;
        for (int at = 0; at < some; at++) {
            mail.bytes[at][0] = mode_echo;
            memcpy(mail.bytes[at] + 8, &now, sizeof now);
        }
        int sent = sendmmsg(flow->fd, mail.headers, (unsigned)some, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0) return;
        flow->in_flight += sent;
        count -= sent;
    }
    flow->last = now;
}

static void take_some(struct flow *flow) {
    static struct mail mail;
    prepare(&mail, longest, false);
    int count = recvmmsg(flow->fd, mail.headers, batch, MSG_DONTWAIT, NULL);
    if (count <= 0) return;
    uint64_t now = nanoseconds();
    for (int at = 0; at < count; at++) {
        uint64_t since;
        memcpy(&since, mail.bytes[at] + 8, sizeof since);
        note(&histogram, now - since);
    }
    flow->in_flight -= count < flow->in_flight ? count : flow->in_flight;
    send_some(flow, count);
}

static void run(const struct options *options, double seconds) {
    uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9);
    uint64_t next_look = nanoseconds() + patience_ms * 1000000ull;
    while (nanoseconds() < end) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, patience_ms);
        for (int index = 0; index < count; index++) take_some(&flows[events[index].data.u32]);
        uint64_t now = nanoseconds();
        if (now < next_look) continue;
        next_look = now + patience_ms * 1000000ull;
        for (int index = 0; index < options->connections; index++) {
            struct flow *flow = &flows[index];
            if (now - flow->last < patience_ms * 1000000ull) continue;
            lost += (unsigned long long)flow->in_flight;
            flow->in_flight = 0;
            send_some(flow, options->count);
        }
    }
}

void echo_datagrams(const struct options *options) {
    if (options->connections > most_flows || options->count > most_in_flight) complain("too many in flight");
    length_of_each = options->bytes < 16 ? 16 : options->bytes > longest ? longest : options->bytes;
    struct sockaddr_in address = address_of(options->host, options->port);
    epoll = make_epoll();
    for (int index = 0; index < options->connections; index++) {
        flows[index].fd = datagram_socket();
        if (connect(flows[index].fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
        watch(epoll, flows[index].fd, EPOLLIN, (uint32_t)index);
        send_some(&flows[index], options->count);
    }
    run(options, options->warm);
    histogram = (struct histogram){0};
    lost = 0;
    say_begin();
    uint64_t start = nanoseconds();
    run(options, options->seconds);
    double seconds = (double)(nanoseconds() - start) / 1e9;
    say_end();
    printf("{\"operations\": %llu, \"lost\": %llu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
        (unsigned long long)histogram.total, lost, seconds, percentile(&histogram, 0.5), percentile(&histogram, 0.99));
}

// MARK: Floods

static unsigned long long pour(int fd, struct mail *mail, double seconds) {
    uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9);
    unsigned long long sent = 0;
    while (nanoseconds() < end) {
        int count = sendmmsg(fd, mail->headers, batch, MSG_NOSIGNAL);
        if (count > 0) sent += (unsigned long long)count;
    }
    return sent;
}

void flood(const struct options *options) {
    static struct mail mail;
    struct sockaddr_in address = address_of(options->host, options->port);
    int fd = datagram_socket();
    if (options->bytes < 1 || options->bytes > longest) complain("--bytes is 1 to 2048");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    prepare(&mail, options->bytes, false);
    for (int at = 0; at < batch; at++) mail.bytes[at][0] = mode_upload;
    pour(fd, &mail, options->warm);
    unsigned long long before = ask_arrived(options->service);
    say_begin();
    uint64_t start = nanoseconds();
    unsigned long long sent = pour(fd, &mail, options->seconds);
    unsigned long long came = ask_arrived(options->service) - before;
    double seconds = (double)(nanoseconds() - start) / 1e9;
    say_end();
    printf("{\"operations\": %llu, \"sent\": %llu, \"seconds\": %.6f}\n", came, sent, seconds);
}
