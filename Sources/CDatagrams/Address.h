// Addresses as the system has them.
#ifndef ADDRESS_H
#define ADDRESS_H

#include "CDatagrams.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

union name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/// For a socket of that family; one for IPv4 takes the last four bytes of a mapped address.
static inline socklen_t name_of(const struct cdatagrams_address *address, int family, union name *name) {
    memset(name, 0, sizeof *name);
    if (family == AF_INET) {
        name->v4.sin_family = AF_INET;
        name->v4.sin_port = htons(address->port);
        memcpy(&name->v4.sin_addr, address->host + 12, 4);
        return sizeof name->v4;
    }
    name->v6.sin6_family = AF_INET6;
    name->v6.sin6_port = htons(address->port);
    name->v6.sin6_scope_id = address->scope;
    memcpy(&name->v6.sin6_addr, address->host, 16);
    return sizeof name->v6;
}

static inline void address_of(const union name *name, struct cdatagrams_address *address) {
    if (name->any.sa_family == AF_INET) {
        memcpy(address->host, mapped, 12);
        memcpy(address->host + 12, &name->v4.sin_addr, 4);
        address->scope = 0;
        address->port = ntohs(name->v4.sin_port);
        return;
    }
    memcpy(address->host, &name->v6.sin6_addr, 16);
    address->scope = name->v6.sin6_scope_id;
    address->port = ntohs(name->v6.sin6_port);
}

#endif
