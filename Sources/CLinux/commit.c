#include "CLinux.h"

// In a file of its own, so that another commit compiles nothing else anew.
#ifndef P2PRC_COMMIT
#define P2PRC_COMMIT
#endif
#define TEXT(words) #words
#define TEXT_OF(words) TEXT(words)

const char *clinux_commit(void) { return TEXT_OF(P2PRC_COMMIT); }
