// As many bytes as go through, in one direction, on some connections. What arrived counts, not what was sent: buffers
// on the way hold a good part of a second.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

static char buffer[chunk];

// Bytes received meanwhile.
static uint64_t move(int epoll, bool is_download, uint64_t end) {
    uint64_t received = 0;
    while (nanoseconds() < end) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, 100);
        for (int index = 0; index < count; index++) {
            int fd = (int)events[index].data.u32;
            ssize_t moved = is_download ? recv(fd, NULL, 4 * chunk, MSG_TRUNC)
                                        : send(fd, buffer, sizeof buffer, MSG_NOSIGNAL);
            if (moved < 0 && errno == EAGAIN) continue;
            if (moved <= 0) complain("a transfer broke off");
            received += (uint64_t)moved;
        }
    }
    return received;
}

void bulk(const struct options *options) {
    int epoll = make_epoll(), sockets[64];
    char mode = options->is_download ? mode_download : mode_upload;
    if (options->connections > 64) complain("at most 64 streams");
    memset(buffer, mode_upload, sizeof buffer);
    for (int index = 0; index < options->connections; index++) {
        int fd = sockets[index] = dial(options->port, false);
        reset_on_close(fd);
        send_all(fd, &mode, 1);
        watch(epoll, fd, options->is_download ? EPOLLIN : EPOLLOUT, (uint32_t)fd);
    }
    move(epoll, options->is_download, nanoseconds() + (uint64_t)(options->warm * 1e9));
    say_begin();
    uint64_t former = options->is_download ? 0 : ask(options->service).uploaded;
    uint64_t begin = nanoseconds();
    uint64_t bytes = move(epoll, options->is_download, begin + (uint64_t)(options->seconds * 1e9));
    if (!options->is_download) bytes = ask(options->service).uploaded - former;
    double seconds = (double)(nanoseconds() - begin) / 1e9;
    say_end();
    for (int index = 0; index < options->connections; index++) close(sockets[index]);
    printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)bytes, seconds);
}
