// System calls and options of Linux that Swift's Glibc module does not show. Nothing here decides anything.
#ifndef CLINUX_H
#define CLINUX_H

// No header of the system here: its types would then belong to this module instead of Glibc's.
#include <stdint.h>

// epoll(7). Events and data are two arrays: struct epoll_event is packed on x86-64.
enum {
    CLINUX_READABLE = 0x001,
    CLINUX_WRITABLE = 0x004,
    CLINUX_ERROR = 0x008,
    CLINUX_HANGUP = 0x010,
    CLINUX_READ_HANGUP = 0x2000,
};
int clinux_epoll_create(void);
int clinux_epoll_add(int epoll, int fd, uint32_t events, int edge, uint64_t data);
int clinux_epoll_modify(int epoll, int fd, uint32_t events, int edge, uint64_t data);
int clinux_epoll_delete(int epoll, int fd);
int clinux_epoll_wait(int epoll, uint32_t *events, uint64_t *data, int capacity, int timeout_ms);

int clinux_eventfd(void);
int clinux_pipe(int ends[2]);
// accept4(2), non-blocking and closed on exec.
// `address` is a struct sockaddr_storage.
int clinux_accept(int fd, void *address, uint32_t *length);
int clinux_socket(int family, int type);
// splice(2), at most n bytes, never blocking.
int64_t clinux_splice(int from, int to, uint64_t n);

int clinux_no_delay(int fd);
// The socket takes no more while about so many bytes have not gone out yet (TCP_NOTSENT_LOWAT).
int clinux_unsent_limit(int fd, int bytes);
// How often a connection's first packet is repeated (TCP_SYNCNT): 2 give it up after 7 s.
int clinux_syn_repeats(int fd, int count);
// Sends keepalive probes after idle_s seconds of silence, every interval_s, and gives up after count.
int clinux_keepalive(int fd, int idle_s, int interval_s, int count);
// SO_LINGER with a time of 0 (on) or off.
int clinux_reset_on_close(int fd, int on);
// Milliseconds since the other end acknowledged anything (tcp(7), TCP_INFO), or -1.
int clinux_tcp_last_ack_ms(int fd);
// Segments that were sent and that the other end has not acknowledged, or -1.
int clinux_tcp_unacked(int fd);
// Bytes for which the send buffer has room (socket(7), SO_MEMINFO); INT_MAX where the system does not tell.
int clinux_free_to_send(int fd);
// 1 where the kernel's clock is kept in step with a source of time, otherwise 0.
int clinux_clock_is_synchronized(void);
// pid, user and group of the other end of a Unix socket; -1 on failure.
int clinux_peer_user(int fd);

// From now on SIGINT, SIGTERM and, unless it was ignored, SIGHUP arrive as one byte each (their number) at the returned
// end of a pipe; -1 on failure.
int clinux_watch_stop_signals(void);

// TCP ports that have a listener on 127.0.0.1 or on all addresses, by sock_diag(7). How many were written to `ports`;
// -1 where the system does not tell.
int clinux_listening_ports(uint16_t *ports, int capacity);
// UDP sockets that take datagrams of everybody, where they are bound; otherwise the same.
struct clinux_bound {
    // IPv4 as ::ffff:a.b.c.d; all addresses of IPv4 as ::ffff:0.0.0.0.
    uint8_t address[16];
    uint16_t port;
    // Bound to all addresses, and to none of IPv4.
    uint8_t is_ipv6_only;
};
int clinux_datagram_sockets(struct clinux_bound *sockets, int capacity);
// The same of TCP ports on which a handshake is under way that somebody else began; a port for each.
int clinux_handshaking_ports(uint16_t *ports, int capacity);
// A listener neither answers nor refuses who begins a handshake from now on (on), and completes those that are under
// way; by a filter of its segments (socket(7), SO_ATTACH_FILTER), which what it accepts inherits. Off: takes it away.
int clinux_ignore_syn(int fd, int on);

// Starts /bin/sh -c line in a process group of its own, with its output where this process has its errors and nothing
// to read. Its number, and in `watch` a descriptor that becomes readable when it ends (pidfd_open(2)); or -errno.
int clinux_shell_start(const char *line, char *const environment[], int *watch);

// How many columns of a terminal a character takes: 0 for what goes over the one before, 2 for wide ones (wcwidth(3), by
// the C library's tables for UTF-8, whatever the locale); -1 for what is no character to show.
int clinux_columns(uint32_t character);

// The commit that this was built from, as the build was told (P2PRC_COMMIT in Package.swift); empty: it was not.
const char *clinux_commit(void);

// Gives free memory of the heap back to the system (malloc_trim(3)).
void clinux_trim_heap(void);

// For the thread sanitizer, and nothing without one: a Swift Mutex that is contended is handed over inside the kernel,
// which the sanitizer does not see. Called while the Mutex is held, first and last, with an address that stands for it.
void clinux_mutex_taken(void *address);
void clinux_mutex_released(void *address);

#endif
