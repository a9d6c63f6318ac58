#!/bin/sh
# Linux, epoll(7) edge-triggered, a UDP socket on loopback that is registered for EPOLLIN | EPOLLOUT.
# Expected: one EPOLLOUT when it is registered, and the next one after its send buffer was full.
# Seen (kernel 6.18.44, x86_64): one event for each datagram that was sent, though the buffer was never near full: 100
# datagrams, 100 events. A loop that registers once for both directions is woken twice as often as it has to be.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/edge.c" <<'C'
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int events_of(int epoll) {
    struct epoll_event event;
    int count = 0;
    while (epoll_wait(epoll, &event, 1, 0) > 0) count++;
    return count;
}

int main(void) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0), epoll = epoll_create1(0);
    struct epoll_event both = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    int count = 0;
    if (bind(receiver, (struct sockaddr *)&name, sizeof name) || getsockname(receiver, (struct sockaddr *)&name, &length))
        return 2;
    epoll_ctl(epoll, EPOLL_CTL_ADD, sender, &both);
    events_of(epoll);
    for (int turn = 0; turn < 100; turn++) {
        char byte = 'x';
        if (sendto(sender, &byte, 1, 0, (struct sockaddr *)&name, sizeof name) != 1) return 2;
        if (recv(receiver, &byte, 1, 0) != 1) return 2;
        count += events_of(epoll);
    }
    printf("100 datagrams, %d events\n", count);
    return count == 100 ? 0 : 1;
}
C
cc -std=gnu17 -O2 -o "$folder/edge" "$folder/edge.c"
uname -r
"$folder/edge"
