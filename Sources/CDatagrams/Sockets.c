#define _GNU_SOURCE
#include "Address.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

static int set(int fd, int level, int option, int value) { return setsockopt(fd, level, option, &value, sizeof value); }

int cdatagrams_socket(int family) {
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd >= 0 && family == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return fd;
}

int cdatagrams_bind(int fd, int family, const struct cdatagrams_address *address) {
    union name name;
    return bind(fd, &name.any, name_of(address, family, &name));
}

int cdatagrams_connect(int fd, int family, const struct cdatagrams_address *address) {
    union name name;
    return connect(fd, &name.any, name_of(address, family, &name));
}

int cdatagrams_local(int fd, struct cdatagrams_address *address) {
    union name name;
    socklen_t length = sizeof name;
    if (getsockname(fd, &name.any, &length) != 0) return -1;
    address_of(&name, address);
    return 0;
}

int cdatagrams_tell_local(int fd, int family) {
    return family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) : set(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

static bool is_everywhere(const union name *name) {
    return name->any.sa_family == AF_INET ? name->v4.sin_addr.s_addr == htonl(INADDR_ANY)
                                          : IN6_IS_ADDR_UNSPECIFIED(&name->v6.sin6_addr);
}

uint32_t cdatagrams_overflowed(int fd) {
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof info;
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) == 0 ? info[SK_MEMINFO_DROPS] : 0;
}

bool cdatagrams_is_connected(int fd) {
    union name name;
    socklen_t length = sizeof name;
    return getpeername(fd, &name.any, &length) == 0;
}

/// Both have the port from now on. Nobody else may join them: that is allowed for a moment alone, and never while the
/// system chooses a port, which it would choose twice.
static int bind_beside(int fd, int fresh, const union name *name, socklen_t length) {
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 || set(fresh, SOL_SOCKET, SO_REUSEADDR, 1) != 0) return -1;
    int bound = bind(fresh, &name->any, length);
    set(fd, SOL_SOCKET, SO_REUSEADDR, 0);
    set(fresh, SOL_SOCKET, SO_REUSEADDR, 0);
    return bound;
}

int cdatagrams_beside(int fd, int fresh) {
    union name name;
    socklen_t length = sizeof name;
    if (getsockname(fd, &name.any, &length) != 0) return -1;
    return bind_beside(fd, fresh, &name, length);
}

int cdatagrams_replace(int fd, int fresh) {
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    union name name;
    socklen_t length = sizeof name;
    if (connect(fd, &nobody, sizeof nobody) != 0 || getsockname(fd, &name.any, &length) != 0) return -1;
    // Both have the port for a moment, so that it is never free.
    int bound = bind_beside(fd, fresh, &name, length);
    if (is_everywhere(&name)) cdatagrams_tell_local(fresh, name.any.sa_family);
    return bound != 0 || dup3(fresh, fd, O_CLOEXEC) < 0 ? -1 : 0;
}

int cdatagrams_bundle(int fd) { return set(fd, IPPROTO_UDP, UDP_GRO, 1); }

int cdatagrams_keep_whole(int fd, int family) {
    // A socket for both families has both options.
    if (family == AF_INET6 && set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) != 0) return -1;
    return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

void cdatagrams_set_room(int fd, int bytes) {
    // Above the system's bound where this process may.
    if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) != 0) set(fd, SOL_SOCKET, SO_RCVBUF, bytes);
    if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) != 0) set(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

int cdatagrams_share_port(int fd) { return set(fd, SOL_SOCKET, SO_REUSEPORT, 1); }

int cdatagrams_steer(int fd, int bits) {
    // The program sees what is behind UDP's header, and its numbers are in network byte order.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (1u << bits) - 1),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}
