#define _GNU_SOURCE
#include "Address.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>

enum {
    control_bytes = 128,
    // Kernels before 6.9 take no more in one bundle.
    longest_bundle = 64,
    // Of IPv6, whose headers are the larger ones.
    bundle_bytes = 65487,
    // Single datagrams that are sent in one call after a bundle was refused.
    single_batch = 16,
};

// One or more datagrams with the same ends, one behind the other.
struct bundle {
    size_t first, count;
    // The size of all but the last one, which may be shorter.
    size_t segment;
    int datagrams;
    bool is_connected, is_complete;
    struct cdatagrams_address to;
    uint8_t from[16];
};

struct cdatagrams_outbox {
    struct bundle bundles[cdatagrams_outbox_messages];
    struct mmsghdr headers[cdatagrams_outbox_messages];
    struct iovec texts[cdatagrams_outbox_messages];
    union name names[cdatagrams_outbox_messages];
    _Alignas(struct cmsghdr) uint8_t controls[cdatagrams_outbox_messages][control_bytes];
    int count;
    size_t used;
    uint8_t bytes[cdatagrams_outbox_bytes];
};

static const uint8_t unspecified[16];

struct cdatagrams_outbox *cdatagrams_outbox_new(void) {
    struct cdatagrams_outbox *outbox = malloc(sizeof *outbox);
    if (outbox) outbox->count = 0, outbox->used = 0;
    return outbox;
}

void cdatagrams_outbox_free(struct cdatagrams_outbox *outbox) { free(outbox); }

uint8_t *cdatagrams_room(struct cdatagrams_outbox *outbox, size_t count) {
    if (outbox->count >= cdatagrams_outbox_messages || cdatagrams_outbox_bytes - outbox->used < count) return NULL;
    return outbox->bytes + outbox->used;
}

bool cdatagrams_is_empty(const struct cdatagrams_outbox *outbox) { return outbox->count == 0; }

static bool is_same_end(const struct bundle *bundle, const struct cdatagrams_address *to, const uint8_t *from) {
    if (bundle->is_connected != (to == NULL)) return false;
    if (to && (to->port != bundle->to.port || to->scope != bundle->to.scope || memcmp(to->host, bundle->to.host, 16) != 0))
        return false;
    return memcmp(from ? from : unspecified, bundle->from, 16) == 0;
}

static bool joins(
    const struct bundle *bundle, size_t count, const struct cdatagrams_address *to, const uint8_t *from) {
    return !bundle->is_complete && count > 0 && count <= bundle->segment && bundle->datagrams < longest_bundle
        && bundle->count + count <= bundle_bytes && is_same_end(bundle, to, from);
}

void cdatagrams_push(
    struct cdatagrams_outbox *outbox, size_t count, const struct cdatagrams_address *to, const uint8_t *from) {
    struct bundle *last = outbox->count > 0 ? &outbox->bundles[outbox->count - 1] : NULL;
    if (last && joins(last, count, to, from)) {
        last->count += count;
        last->datagrams++;
        last->is_complete = count < last->segment;
    } else {
        last = &outbox->bundles[outbox->count++];
        // Nothing can follow one without bytes: the kernel's bundles have a size.
        *last = (struct bundle){.first = outbox->used, .count = count, .segment = count, .datagrams = 1,
            .is_connected = !to, .is_complete = count == 0};
        if (to) last->to = *to;
        if (from) memcpy(last->from, from, 16);
    }
    outbox->used += count;
}

// MARK: Sending

static size_t put_control(struct msghdr *header, size_t used, int level, int type, const void *value, size_t count) {
    struct cmsghdr *control = (struct cmsghdr *)((uint8_t *)header->msg_control + used);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(count);
    memcpy(CMSG_DATA(control), value, count);
    return used + CMSG_SPACE(count);
}

// Fills in what is besides the bytes.
static void address_message(
    const struct bundle *bundle, int family, struct msghdr *header, union name *name, uint8_t *controls) {
    size_t used = 0;
    memset(header, 0, sizeof *header);
    header->msg_control = controls;
    if (!bundle->is_connected) {
        header->msg_name = name;
        header->msg_namelen = name_of(&bundle->to, family, name);
    }
    if (memcmp(bundle->from, unspecified, 16) != 0) {
        memset(controls, 0, control_bytes);
        if (family == AF_INET6) {
            struct in6_pktinfo info = {0};
            memcpy(&info.ipi6_addr, bundle->from, 16);
            used = put_control(header, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
        } else {
            struct in_pktinfo info = {0};
            memcpy(&info.ipi_spec_dst, bundle->from + 12, 4);
            used = put_control(header, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        }
    }
    header->msg_controllen = used;
}

// The error is about this very datagram, and the next one may be well.
static void count_failure(struct cdatagrams_sent *sent, int code, uint32_t datagrams) {
    switch (code) {
    case ENOBUFS:
    case ENOMEM: sent->dropped += datagrams; break;
    case EMSGSIZE: sent->too_long += datagrams; break;
    default: sent->refused += datagrams;
    }
}

// An error of a datagram that was sent before: this one was not tried.
static bool is_of_an_earlier_one(int code) {
    return code == ECONNREFUSED || code == EHOSTUNREACH || code == ENETUNREACH || code == EHOSTDOWN || code == EPROTO;
}

// The kernel or a device on the way does not take bundles (udp(7)), or not of this size.
static bool may_be_the_bundling(int code) { return code == EMSGSIZE || code == EINVAL || code == EIO; }

// Sends the datagrams of a bundle without the kernel's help.
static void send_singly(
    struct cdatagrams_outbox *outbox, const struct bundle *bundle, int fd, int family, struct cdatagrams_sent *sent) {
    struct mmsghdr headers[single_batch];
    struct iovec texts[single_batch];
    union name name;
    _Alignas(struct cmsghdr) uint8_t controls[control_bytes];
    struct msghdr model;
    address_message(bundle, family, &model, &name, controls);
    size_t at = 0;
    int left = bundle->datagrams;
    while (left > 0) {
        int count = left < single_batch ? left : single_batch;
        for (int each = 0; each < count; each++) {
            size_t length = bundle->count - at < bundle->segment ? bundle->count - at : bundle->segment;
            texts[each] = (struct iovec){outbox->bytes + bundle->first + at, length};
            headers[each].msg_hdr = model;
            headers[each].msg_hdr.msg_iov = &texts[each];
            headers[each].msg_hdr.msg_iovlen = 1;
            at += length;
        }
        bool was_repeated = false;
        for (int done = 0; done < count;) {
            int now = sendmmsg(fd, headers + done, (unsigned)(count - done), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (now > 0) {
                sent->sent += (uint32_t)now;
                done += now;
                was_repeated = false;
            } else if (errno == EINTR || (is_of_an_earlier_one(errno) && !was_repeated)) {
                was_repeated = true;
            } else if (errno == EAGAIN) {
                sent->dropped += (uint32_t)(left - done);
                return;
            } else {
                count_failure(sent, errno, 1);
                done++;
                was_repeated = false;
            }
        }
        left -= count;
    }
}

struct cdatagrams_sent cdatagrams_flush(struct cdatagrams_outbox *outbox, int fd, int family, bool *bundles) {
    struct cdatagrams_sent sent = {0};
    for (int at = 0; at < outbox->count; at++) {
        const struct bundle *bundle = &outbox->bundles[at];
        struct msghdr *header = &outbox->headers[at].msg_hdr;
        address_message(bundle, family, header, &outbox->names[at], outbox->controls[at]);
        outbox->texts[at] = (struct iovec){outbox->bytes + bundle->first, bundle->count};
        header->msg_iov = &outbox->texts[at];
        header->msg_iovlen = 1;
        if (bundle->datagrams > 1) {
            uint16_t segment = (uint16_t)bundle->segment;
            header->msg_controllen =
                put_control(header, header->msg_controllen, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
        }
    }
    bool was_repeated = false;
    int done = 0;
    while (done < outbox->count) {
        const struct bundle *bundle = &outbox->bundles[done];
        if (bundle->datagrams > 1 && !*bundles) {
            send_singly(outbox, bundle, fd, family, &sent);
            done++;
            continue;
        }
        int run = 1;
        if (*bundles) run = outbox->count - done;
        else
            while (done + run < outbox->count && outbox->bundles[done + run].datagrams == 1) run++;
        int now = sendmmsg(fd, outbox->headers + done, (unsigned)run, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (now > 0) {
            // Fewer than asked is ordinary: the next call tells why, or goes on.
            for (int each = 0; each < now; each++) sent.sent += (uint32_t)outbox->bundles[done + each].datagrams;
            done += now;
            was_repeated = false;
        } else if (errno == EINTR || (is_of_an_earlier_one(errno) && !was_repeated)) {
            was_repeated = true;
        } else if (bundle->datagrams > 1 && may_be_the_bundling(errno)) {
            if (errno != EMSGSIZE) *bundles = false;
            send_singly(outbox, bundle, fd, family, &sent);
            done++;
            was_repeated = false;
        } else if (errno == EAGAIN) {
            // The socket has no room, and will have none for the next one either.
            for (; done < outbox->count; done++) sent.dropped += (uint32_t)outbox->bundles[done].datagrams;
        } else {
            count_failure(&sent, errno, (uint32_t)bundle->datagrams);
            done++;
            was_repeated = false;
        }
    }
    outbox->count = 0;
    outbox->used = 0;
    return sent;
}
