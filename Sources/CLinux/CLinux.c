#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static int control(int epoll, int operation, int fd, uint32_t events, int edge, uint64_t data) {
    struct epoll_event event = {.events = events | (edge ? EPOLLET : 0), .data.u64 = data};
    return epoll_ctl(epoll, operation, fd, &event);
}

int clinux_epoll_add(int epoll, int fd, uint32_t events, int edge, uint64_t data) {
    return control(epoll, EPOLL_CTL_ADD, fd, events, edge, data);
}

int clinux_epoll_modify(int epoll, int fd, uint32_t events, int edge, uint64_t data) {
    return control(epoll, EPOLL_CTL_MOD, fd, events, edge, data);
}

int clinux_epoll_delete(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0, 0); }

int clinux_epoll_wait(int epoll, uint32_t *events, uint64_t *data, int capacity, int timeout_ms) {
    struct epoll_event ready[256];
    if (capacity > 256) capacity = 256;
    int count = epoll_wait(epoll, ready, capacity, timeout_ms);
    for (int i = 0; i < count; i++) {
        events[i] = ready[i].events;
        data[i] = ready[i].data.u64;
    }
    return count;
}

int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int clinux_pipe(int ends[2]) { return pipe2(ends, O_NONBLOCK | O_CLOEXEC); }

int clinux_accept(int fd, void *address, uint32_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int clinux_socket(int family, int type) { return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int64_t clinux_splice(int from, int to, uint64_t n) {
    return splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static int set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

int clinux_no_delay(int fd) { return set(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

int clinux_unsent_limit(int fd, int bytes) { return set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes); }

int clinux_syn_repeats(int fd, int count) { return set(fd, IPPROTO_TCP, TCP_SYNCNT, count); }

int clinux_keepalive(int fd, int idle_s, int interval_s, int count) {
    if (set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s) || set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s)
        || set(fd, IPPROTO_TCP, TCP_KEEPCNT, count))
        return -1;
    return set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

int clinux_reset_on_close(int fd, int on) {
    struct linger linger = {.l_onoff = on, .l_linger = 0};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int clinux_tcp_last_ack_ms(int fd) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) return -1;
    return (int)info.tcpi_last_ack_recv;
}

int clinux_clock_is_synchronized(void) {
    struct timex clock = {0};
    int state = adjtimex(&clock);
    return state >= 0 && state != TIME_ERROR && !(clock.status & STA_UNSYNC);
}

int clinux_tcp_unacked(int fd) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) return -1;
    return (int)info.tcpi_unacked;
}

int clinux_free_to_send(int fd) {
    uint32_t memory[SK_MEMINFO_VARS];
    socklen_t length = sizeof memory;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length)) return INT_MAX;
    int64_t room = (int64_t)memory[SK_MEMINFO_SNDBUF] - memory[SK_MEMINFO_WMEM_QUEUED];
    return room > 0 ? (int)room : 0;
}

int clinux_peer_user(int fd) {
    struct ucred who;
    socklen_t length = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length)) return -1;
    return (int)who.uid;
}

static int stop_pipe[2] = {-1, -1};

static void on_stop(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t ignored = write(stop_pipe[1], &byte, 1);
    (void)ignored;
    errno = saved;
}

int clinux_watch_stop_signals(void) {
    if (pipe2(stop_pipe, O_CLOEXEC)) return -1;
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, &action, NULL) || sigaction(SIGTERM, &action, NULL)) return -1;
    // nohup(1) has it ignored, and means it.
    struct sigaction former;
    if (sigaction(SIGHUP, NULL, &former)) return -1;
    if (former.sa_handler != SIG_IGN && sigaction(SIGHUP, &action, NULL)) return -1;
    return stop_pipe[0];
}

// Whether a listener on this address serves 127.0.0.1.
static int serves_loopback(const struct inet_diag_msg *entry) {
    const uint32_t *a = entry->id.idiag_src;
    if (entry->idiag_family == AF_INET) return a[0] == 0 || a[0] == htonl(0x7f000001);
    if (a[0] || a[1]) return 0;
    // All addresses of IPv6 take IPv4 too unless the service says otherwise; or IPv4 written as IPv6.
    return (!a[2] && !a[3]) || (a[2] == htonl(0xffff) && (a[3] == 0 || a[3] == htonl(0x7f000001)));
}

static int is_anywhere(const struct inet_diag_msg *entry) {
    (void)entry;
    return 1;
}

typedef int (*diag_choice)(const struct inet_diag_msg *);

// What a dump found: ports, or whole sockets.
struct found {
    uint16_t *ports;
    struct clinux_bound *sockets;
    int count, capacity;
};

static struct clinux_bound bound_socket(const struct inet_diag_msg *entry, ssize_t length) {
    struct clinux_bound socket = {.port = ntohs(entry->id.idiag_sport)};
    if (entry->idiag_family == AF_INET) {
        socket.address[10] = socket.address[11] = 0xff;
        memcpy(socket.address + 12, entry->id.idiag_src, 4);
        return socket;
    }
    memcpy(socket.address, entry->id.idiag_src, 16);
    for (const struct rtattr *field = (const struct rtattr *)(entry + 1); RTA_OK(field, length);
         field = RTA_NEXT(field, length))
        if (field->rta_type == INET_DIAG_SKV6ONLY) socket.is_ipv6_only = *(const uint8_t *)RTA_DATA(field);
    return socket;
}

static void note(const struct inet_diag_msg *entry, ssize_t length, struct found *found) {
    if (found->count >= found->capacity) return;
    if (found->ports) found->ports[found->count++] = ntohs(entry->id.idiag_sport);
    else if (found->sockets) found->sockets[found->count++] = bound_socket(entry, length);
}

static int dump(int fd, int family, int protocol, uint32_t states, diag_choice wanted, struct found *found) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message = {
        .header = {.nlmsg_len = sizeof message, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = (uint8_t)family, .sdiag_protocol = (uint8_t)protocol, .idiag_states = states},
    };
    if (send(fd, &message, sizeof message, 0) != sizeof message) return -1;
    static __thread uint32_t buffer[8192];
    for (;;) {
        ssize_t length = recv(fd, buffer, sizeof buffer, 0);
        if (length <= 0) return -1;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, length);
             header = NLMSG_NEXT(header, length)) {
            if (header->nlmsg_type == NLMSG_DONE) return 0;
            if (header->nlmsg_type == NLMSG_ERROR) return -1;
            const struct inet_diag_msg *entry = NLMSG_DATA(header);
            if (wanted(entry)) note(entry, (int)NLMSG_PAYLOAD(header, sizeof *entry), found);
        }
    }
}

static int diag(int protocol, uint32_t states, diag_choice wanted, struct found found) {
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) return -1;
    int status = dump(fd, AF_INET, protocol, states, wanted, &found);
    // A system without IPv6 answers with an error: then IPv4 is all there is.
    if (status == 0) dump(fd, AF_INET6, protocol, states, wanted, &found);
    close(fd);
    return status < 0 ? -1 : found.count;
}

static int diag_ports(int protocol, uint32_t states, diag_choice wanted, uint16_t *ports, int capacity) {
    return diag(protocol, states, wanted, (struct found){.ports = ports, .capacity = capacity});
}

int clinux_listening_ports(uint16_t *ports, int capacity) {
    enum { LISTEN = 10 };
    return diag_ports(IPPROTO_TCP, 1 << LISTEN, serves_loopback, ports, capacity);
}

int clinux_datagram_sockets(struct clinux_bound *sockets, int capacity) {
    // The state of a socket for datagrams that is connected to nobody.
    enum { CLOSE = 7 };
    return diag(IPPROTO_UDP, 1 << CLOSE, is_anywhere, (struct found){.sockets = sockets, .capacity = capacity});
}

int clinux_handshaking_ports(uint16_t *ports, int capacity) {
    // Both names that Linux has for it (include/net/tcp_states.h): of a connection, and of what will become one.
    enum { SYN_RECV = 3, NEW_SYN_RECV = 12 };
    return diag_ports(IPPROTO_TCP, 1 << SYN_RECV | 1 << NEW_SYN_RECV, is_anywhere, ports, capacity);
}

int clinux_ignore_syn(int fd, int on) {
    if (!on) return set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
    // A TCP socket's filter sees segments from their TCP header on; byte 13 has the flags (RFC 9293, section 3.1).
    enum { FLAGS = 13, SYN = 0x02, ACK = 0x10 };
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog program = {.len = sizeof lines / sizeof *lines, .filter = lines};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void clinux_trim_heap(void) { malloc_trim(0); }

// Of the sanitizer's runtime; null where none is linked.
void __tsan_acquire(void *address) __attribute__((weak));
void __tsan_release(void *address) __attribute__((weak));

void clinux_mutex_taken(void *address) {
    if (__tsan_acquire) __tsan_acquire(address);
}

void clinux_mutex_released(void *address) {
    if (__tsan_release) __tsan_release(address);
}

int clinux_shell_start(const char *line, char *const environment[], int *watch) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t traits;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 2, 1);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&traits);
    posix_spawnattr_setflags(&traits, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&traits, 0);
    posix_spawnattr_setsigdefault(&traits, &all);
    posix_spawnattr_setsigmask(&traits, &none);
    char *const words[] = {"sh", "-c", (char *)line, 0};
    pid_t child = 0;
    int status = posix_spawn(&child, "/bin/sh", &files, &traits, words, environment);
    posix_spawnattr_destroy(&traits);
    posix_spawn_file_actions_destroy(&files);
    if (status) return -status;
    *watch = (int)syscall(SYS_pidfd_open, child, 0);
    if (*watch >= 0) return child;
    status = errno;
    kill(-child, SIGKILL);
    waitpid(child, 0, 0);
    return -status;
}

static locale_t utf8;
static pthread_once_t utf8_once = PTHREAD_ONCE_INIT;
static void find_utf8(void) { utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); }

int clinux_columns(uint32_t character) {
    pthread_once(&utf8_once, find_utf8);
    if (!utf8) return character < 0x20 || character == 0x7f ? -1 : 1;
    locale_t former = uselocale(utf8);
    int columns = wcwidth((wchar_t)character);
    uselocale(former);
    return columns;
}
