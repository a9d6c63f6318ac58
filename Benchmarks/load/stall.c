// Downloads whose visitors stop reading in the middle, until standard input ends. A line says how far they read, once
// the service gets no more rid of anything.
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static char buffer[chunk];

void stall(const struct options *options) {
    struct timespec pause = {.tv_nsec = 500000000};
    uint64_t before = ask(options->service).poured, poured = before, now;
    for (int index = 0; index < options->connections; index++) {
        char mode = mode_download;
        int fd = dial(options->port, true), most = 65536;
        reset_on_close(fd);
        // So that the system does not keep tens of MiB for each.
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &most, sizeof most);
        send_all(fd, &mode, 1);
        for (uint64_t read = 0; read < options->bytes;) {
            ssize_t got = recv(fd, buffer, sizeof buffer, 0);
            if (got <= 0) complain("a download broke off");
            read += (uint64_t)got;
            poured += (uint64_t)got;
        }
    }
    uint64_t taken = poured - before;
    for (poured = 0; (now = ask(options->service).poured) != poured; poured = now) nanosleep(&pause, NULL);
    printf("{\"read\": %llu, \"sent\": %llu}\n", (unsigned long long)taken, (unsigned long long)(now - before));
    say_begin();
    char byte;
    while (read(0, &byte, 1) > 0) continue;
}
