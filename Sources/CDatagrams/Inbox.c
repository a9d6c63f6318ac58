#define _GNU_SOURCE
#include "Address.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>

// A bundle may be as long as a datagram can be; of pages that nothing is written to, the system has none.
enum { slot_bytes = 65536, control_bytes = 128 };

struct cdatagrams_inbox {
    struct mmsghdr headers[cdatagrams_inbox_messages];
    struct iovec rooms[cdatagrams_inbox_messages];
    union name names[cdatagrams_inbox_messages];
    struct cdatagrams_message messages[cdatagrams_inbox_messages];
    _Alignas(struct cmsghdr) uint8_t controls[cdatagrams_inbox_messages][control_bytes];
    uint8_t *bytes;
};

struct cdatagrams_inbox *cdatagrams_inbox_new(void) {
    struct cdatagrams_inbox *inbox = calloc(1, sizeof *inbox);
    void *bytes = NULL;
    if (!inbox || posix_memalign(&bytes, 4096, (size_t)cdatagrams_inbox_messages * slot_bytes) != 0) {
        free(inbox);
        return NULL;
    }
    inbox->bytes = bytes;
    for (int at = 0; at < cdatagrams_inbox_messages; at++) {
        struct msghdr *header = &inbox->headers[at].msg_hdr;
        inbox->rooms[at] = (struct iovec){inbox->bytes + (size_t)at * slot_bytes, slot_bytes};
        header->msg_iov = &inbox->rooms[at];
        header->msg_iovlen = 1;
        header->msg_name = &inbox->names[at];
        header->msg_control = inbox->controls[at];
        header->msg_namelen = sizeof(union name);
        header->msg_controllen = control_bytes;
    }
    return inbox;
}

void cdatagrams_inbox_free(struct cdatagrams_inbox *inbox) {
    if (!inbox) return;
    free(inbox->bytes);
    free(inbox);
}

static void read_controls(struct msghdr *header, struct cdatagrams_message *message) {
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(control), sizeof segment);
            if (segment > 0 && (uint32_t)segment < message->count) message->segment = (uint32_t)segment;
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof info);
            memcpy(message->to, &info.ipi6_addr, 16);
        } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof info);
            memcpy(message->to, mapped, 12);
            memcpy(message->to + 12, &info.ipi_addr, 4);
        }
    }
}

int cdatagrams_receive(struct cdatagrams_inbox *inbox, int fd) {
    // No time-out: the kernel looks at one only after a datagram has come.
    int count = recvmmsg(fd, inbox->headers, cdatagrams_inbox_messages, MSG_DONTWAIT, NULL);
    if (count < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (int at = 0; at < count; at++) {
        struct msghdr *header = &inbox->headers[at].msg_hdr;
        struct cdatagrams_message *message = &inbox->messages[at];
        message->bytes = inbox->rooms[at].iov_base;
        message->count = inbox->headers[at].msg_len;
        message->segment = 0;
        memset(message->to, 0, sizeof message->to);
        if (header->msg_namelen > 0) address_of(&inbox->names[at], &message->from);
        else memset(&message->from, 0, sizeof message->from);
        if (header->msg_controllen > 0) read_controls(header, message);
        header->msg_namelen = sizeof(union name);
        header->msg_controllen = control_bytes;
    }
    return count;
}

const struct cdatagrams_message *cdatagrams_message(const struct cdatagrams_inbox *inbox, int at) {
    return &inbox->messages[at];
}
