// Many datagrams with one call of the system, both ways (recvmmsg(2), sendmmsg(2)), in bundles where the kernel makes them
// (udp(7): UDP_GRO, UDP_SEGMENT). Nothing here decides what is sent to whom.
#ifndef CDATAGRAMS_H
#define CDATAGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    cdatagrams_inbox_messages = 32,
    cdatagrams_outbox_messages = 64,
    cdatagrams_outbox_bytes = 256 * 1024,
    /// What IPv4 carries in one datagram.
    cdatagrams_longest = 65507,
};

/// One end of a datagram: an IPv6 address or an IPv4 one in its mapped form (::ffff:a.b.c.d), with a port. The scope is an
/// interface's number, for link-local addresses alone.
struct cdatagrams_address {
    uint8_t host[16];
    uint32_t scope;
    uint16_t port;
};

// MARK: Sockets

/// A socket for datagrams of a family, which never blocks and is closed on exec; -1 on failure.
int cdatagrams_socket(int family);
/// Binds, or connects. -1 on failure.
int cdatagrams_bind(int fd, int family, const struct cdatagrams_address *address);
int cdatagrams_connect(int fd, int family, const struct cdatagrams_address *address);
bool cdatagrams_is_connected(int fd);
/// A new socket takes the place and the address of one that was connected: one of IPv6 would hear nobody of that family
/// but its former other end, even when it is not connected any more. -1 on failure; then the former one is not connected.
int cdatagrams_replace(int fd, int fresh);
/// A new socket has the address of a connected one beside it, and gets what comes there from anybody but that one's
/// other end. -1 on failure.
int cdatagrams_beside(int fd, int fresh);
/// Datagrams that the system dropped on their way in, because the socket's queue was full of others. 0 where it does not
/// tell.
uint32_t cdatagrams_overflowed(int fd);
/// The local end. -1 on failure.
int cdatagrams_local(int fd, struct cdatagrams_address *address);
/// Each datagram tells which local address it came to.
int cdatagrams_tell_local(int fd, int family);
/// Datagrams of one sender that come together are told as one bundle. -1 where the kernel does not do that.
int cdatagrams_bundle(int fd);
/// What does not fit into the way's packets is not sent, whatever the kernel knows of the way: sizes are tried by their
/// sender (IP_PMTUDISC_PROBE).
int cdatagrams_keep_whole(int fd, int family);
/// Room in the kernel for so many bytes each way, as far as the system's owner allows.
void cdatagrams_set_room(int fd, int bytes);
/// Several sockets have one port (SO_REUSEPORT).
int cdatagrams_share_port(int fd);
/// Of the sockets that share a port, the one whose turn in the order of binding the lowest `bits` bits of a datagram's first
/// four bytes name gets it; where there is none, the kernel chooses.
int cdatagrams_steer(int fd, int bits);

// MARK: Coming in

/// Room for a batch; one for a thread.
struct cdatagrams_inbox;

struct cdatagrams_message {
    uint8_t *bytes;
    uint32_t count;
    /// A bundle: datagrams of this size one behind the other, the last of which may be shorter. 0: a single one.
    uint32_t segment;
    struct cdatagrams_address from;
    /// The local address that it came to, without a port; all zeros where the socket was not asked to tell.
    uint8_t to[16];
};

/// NULL when there is no memory.
struct cdatagrams_inbox *cdatagrams_inbox_new(void);
void cdatagrams_inbox_free(struct cdatagrams_inbox *inbox);
/// Takes what has come, and never waits. How many messages; 0: nothing is there; the negative error of the system, which
/// stands for one datagram that this socket sent before (ICMP), and after which it goes on.
int cdatagrams_receive(struct cdatagrams_inbox *inbox, int fd);
/// Of the last `cdatagrams_receive`; its bytes may be written to.
const struct cdatagrams_message *cdatagrams_message(const struct cdatagrams_inbox *inbox, int at);

// MARK: Going out

/// Datagrams for one socket that wait to be sent together; one for a thread.
struct cdatagrams_outbox;

struct cdatagrams_sent {
    uint32_t sent;
    /// The socket had no room.
    uint32_t dropped;
    /// Larger than the way's packets, where nothing is to be cut, or than any datagram.
    uint32_t too_long;
    /// The system refused them: no route, a filter, an address that cannot be.
    uint32_t refused;
};

/// NULL when there is no memory.
struct cdatagrams_outbox *cdatagrams_outbox_new(void);
void cdatagrams_outbox_free(struct cdatagrams_outbox *outbox);
/// Where the next datagram's bytes go; NULL: there is no room for so many before `cdatagrams_flush`.
uint8_t *cdatagrams_room(struct cdatagrams_outbox *outbox, size_t count);
/// The next datagram has its bytes, `count` of those that room was asked for.
///
/// @param to where it goes; NULL for a connected socket.
/// @param from the local address that it is to come from, 16 bytes; NULL or all zeros: the system chooses.
void cdatagrams_push(
    struct cdatagrams_outbox *outbox, size_t count, const struct cdatagrams_address *to, const uint8_t *from);
bool cdatagrams_is_empty(const struct cdatagrams_outbox *outbox);
/// Sends all that waits. A datagram that the system refuses does not keep the others from being sent, and an error that an
/// earlier one met (ICMP) is passed over.
///
/// @param bundles whether the kernel may be given bundles; set to false when it turns out that it takes none.
struct cdatagrams_sent cdatagrams_flush(struct cdatagrams_outbox *outbox, int fd, int family, bool *bundles);

#endif
