// What the other end of a connection may have the library do between two bytes of payload.
//
// Messages that come behind a handshake (new keys, tickets), pieces of them and empty records are worked through by the
// library itself, inside one read: no limit of ours sees them, and a stranger could keep a thread busy with them. So they
// are counted, in the library's message callback, and what is below the connection gives it nothing more when it was
// enough.
#ifndef GUARD_H
#define GUARD_H

#include <limits.h>
#include <openssl/ssl.h>
#include <stdbool.h>

enum {
    /// So much in a row without payload; more is somebody's game. A handshake takes some ten, and no node of ours sends
    /// anything of the kind behind it, where the count begins anew.
    guard_maximum_idle = 32,
    /// Records in one read, after which others have their turn.
    guard_turn = 64,
    /// A message costs as much as so many records.
    guard_message_cost = 8,
};

struct guard {
    /// Records without payload since the last byte of it, and messages beyond the first of a record.
    int idle;
    /// What is left of this turn, in records.
    int left;
    bool is_first;
};

/// A handshake has no turns: `guard_maximum_idle` bounds all of it.
static inline struct guard guard_new(void) { return (struct guard){.left = INT_MAX}; }

/// The message callback; `guard` is its argument.
void guard_note(int is_written, int version, int type, const void *bytes, size_t count, SSL *ssl, void *guard);

static inline bool guard_refuses(const struct guard *guard) { return guard->idle > guard_maximum_idle; }
static inline bool guard_pauses(const struct guard *guard) { return guard->left <= 0; }

/// Has each connection of a context counted that others read through sockets of their own.
void guard_watch(SSL_CTX *context);
/// Such a connection brought payload.
void guard_paid(SSL *ssl);

#endif
