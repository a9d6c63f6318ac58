#!/bin/sh
# Linux, a UDP socket that is connected and then dissolved from its peer again (connect to AF_UNSPEC).
# Expected: it is bound as it was before it was connected.
# Seen (kernel 6.18.44, x86_64): a port that bind(2) was asked for by its number stays; one that the system chose for
# bind (port 0), and that getsockname told, is given up: getsockname says 0, and what is sent to it is not received.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/port.c" <<'C'
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int port_of(int fd) {
    struct sockaddr_in name = {0};
    socklen_t length = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &length);
    return ntohs(name.sin_port);
}

// The port before and after; 0 asks the system for one.
static int bound(int port, int *after) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), before;
    name.sin_port = htons((unsigned short)port);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) != 0) return -1;
    before = port_of(fd);
    name.sin_port = htons(9);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) != 0 || connect(fd, &nobody, sizeof nobody) != 0) return -1;
    *after = port_of(fd);
    close(fd);
    return before;
}

int main(void) {
    int chosen_after = -1, named_after = -1;
    int chosen = bound(0, &chosen_after), named = bound(chosen, &named_after);
    printf("chosen by the system: %s after\n", chosen_after == 0 ? "none" : chosen_after == chosen ? "the same" : "another");
    printf("asked for by number: %s after\n", named_after == named ? "the same" : "another or none");
    return chosen > 0 && chosen_after == 0 && named == chosen && named_after == named ? 0 : 1;
}
C
cc -std=gnu17 -O2 -o "$folder/port" "$folder/port.c"
uname -r
"$folder/port"
